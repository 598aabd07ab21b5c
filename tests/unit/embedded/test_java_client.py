"""Kafka's tools log in where our clients do: the same settings, in a Java client's words."""

import stat
from pathlib import Path

import pytest

from usercenter.embedded.java_client import properties, settings_file, text


def test_a_password_becomes_a_login_in_the_words_of_jaas() -> None:
    found = properties(
        {
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "usercenter",
            "sasl.password": 'a"b\\c; =',
        }
    )
    assert found["security.protocol"] == "SASL_SSL"
    assert found["sasl.mechanism"] == "SCRAM-SHA-512"
    assert found["sasl.jaas.config"] == (
        "org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="usercenter" password="a\\"b\\\\c; =";'
    )


def test_certificates_are_handed_over_whole(tmp_path: Path) -> None:
    for name in ("ca", "certificate", "key"):
        (tmp_path / name).write_text(f"-----{name}-----\n")
    places = {f"ssl.{name}.location": str(tmp_path / name) for name in ("ca", "certificate", "key")}
    found = properties({"security.protocol": "SSL", **places, "ssl.endpoint.identification.algorithm": "none"})
    assert found == {
        "security.protocol": "SSL",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": "-----ca-----\n",
        "ssl.endpoint.identification.algorithm": "",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": "-----certificate-----\n",
        "ssl.keystore.key": "-----key-----\n",
    }


def test_what_has_nothing_to_do_with_security_is_left_out() -> None:
    assert properties({"linger.ms": "5", "broker.address.family": "v4"}) == {}


@pytest.mark.parametrize(
    ("value", "written"),
    [("a\\b", "a\\\\b"), ("a\nb", "a\\nb"), (" a", "\\ a"), ("é", "\\u00e9"), ("🔑", "\\ud83d\\udd11")],
)
def test_java_reads_every_character_as_it_is(value: str, written: str) -> None:
    assert text({"name": value}) == f"name={written}\n"


def test_nobody_else_can_read_the_file_and_it_is_gone_afterwards() -> None:
    with settings_file({"security.protocol": "SSL"}, {"request.timeout.ms": "10000"}) as file:
        assert file is not None
        assert stat.S_IMODE(file.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
        assert file.read_text() == "request.timeout.ms=10000\nsecurity.protocol=SSL\n"
    assert not file.exists()
    with settings_file({"linger.ms": "5"}, {}) as none:
        assert none is None
