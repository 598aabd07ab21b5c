"""How a Java client logs in where ours does: librdkafka's settings in Kafka's own words.

Kafka's tools are given them in a file that only we may read, for a password in an argument is everybody's.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_SAME_NAME: Final = ("security.protocol", "ssl.key.password", "sasl.kerberos.service.name")
_LOGIN_MODULES: Final = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


def properties(librdkafka: Mapping[str, str]) -> dict[str, str]:
    """The settings of security among these, for a Java client; others, and logins by other means, are left out.

    Reads the files of certificates and of a key. Raises OSError when they cannot be read.
    """
    found = {name: librdkafka[name] for name in _SAME_NAME if name in librdkafka}
    if "security.protocol" in found:
        found["security.protocol"] = found["security.protocol"].upper()
    return found | _login(librdkafka) | _trust(librdkafka) | _certificate(librdkafka)


def text(settings: Mapping[str, str]) -> str:
    """A properties file with them, as `java.util.Properties` reads it."""
    return "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())


@contextmanager
def settings_file(librdkafka: Mapping[str, str], more: Mapping[str, str]) -> Iterator[Path | None]:
    """A file with them, and with more in Java's words, that nobody else can read, as long as it is needed.

    None when there is nothing to say.
    """
    found = {**more, **properties(librdkafka)}
    if not found:
        yield None
        return
    with tempfile.NamedTemporaryFile("w", encoding="ascii", prefix="usercenter-", suffix=".properties") as file:
        file.write(text(found))
        file.flush()
        yield Path(file.name)


def _login(librdkafka: Mapping[str, str]) -> dict[str, str]:
    mechanism = librdkafka.get("sasl.mechanism", librdkafka.get("sasl.mechanisms", ""))
    if mechanism not in _LOGIN_MODULES:
        return {"sasl.mechanism": mechanism} if mechanism else {}
    user, password = (_quoted(librdkafka.get(f"sasl.{each}", "")) for each in ("username", "password"))
    login = f"{_LOGIN_MODULES[mechanism]} required username={user} password={password};"
    return {"sasl.mechanism": mechanism, "sasl.jaas.config": login}


def _trust(librdkafka: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    if known := _pem(librdkafka, "ca"):
        found |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": known}
    if (checks := librdkafka.get("ssl.endpoint.identification.algorithm")) is not None:
        found["ssl.endpoint.identification.algorithm"] = "" if checks == "none" else checks
    return found


def _certificate(librdkafka: Mapping[str, str]) -> dict[str, str]:
    certificate, key = _pem(librdkafka, "certificate"), _pem(librdkafka, "key")
    if not certificate or not key:
        return {}
    return {"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": certificate, "ssl.keystore.key": key}


def _pem(librdkafka: Mapping[str, str], what: str) -> str | None:
    place = librdkafka.get(f"ssl.{what}.location")
    return Path(place).read_text() if place else librdkafka.get(f"ssl.{what}.pem")


def _quoted(value: str) -> str:
    """As a value in a JAAS entry."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escaped(value: str) -> str:
    """As a value in a properties file, which Java reads as Latin-1 with escapes for UTF-16."""
    units = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    plain = "".join(chr(code) if 0x20 <= code < 0x7F else f"\\u{code:04x}" for code in codes)
    return f"\\{plain}" if plain.startswith(" ") else plain
