"""A broker for faults: beside its own listener one behind a proxy, and one that asks who is there and what he may do.

On the plain listener everybody may do everything, as on any embedded broker.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from usercenter.embedded import ports
from usercenter.embedded.kafka import Kafka
from usercenter.embedded.kafka_quorum import Quorum

USER = "shop"
PASSWORD = "not-a-secret"
CREDENTIALS: Mapping[str, str] = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "PLAIN",
    "sasl.username": USER,
    "sasl.password": PASSWORD,
}
"""What a client says at the guarded listener, in librdkafka's words. `USER` has no right at all until it gets one."""


class FaultyKafka(Kafka):
    """One broker with three listeners."""

    def __init__(self, directory: Path, *, lock: int, heap_mb: int, announce: Callable[[str], None]) -> None:
        quorum = Quorum({1: directory})
        super().__init__(directory, lock=lock, heap_mb=heap_mb, announce=announce, node_id=1, quorum=quorum)
        self.port = ports.any_free()  # not the usual one, which somebody else may take while this broker is down
        self.proxied_port = ports.any_free()
        """Where the proxy has to connect to."""
        self.guarded_port = ports.any_free()
        self.advertised_port = 0
        """The proxy's own port, which clients of that listener are told; set before the start."""

    @property
    def plain_address(self) -> str:
        """`host:port` of the listener on which everybody may do everything, and without a proxy."""
        return f"{ports.HOST}:{self.port}"

    @property
    def guarded_address(self) -> str:
        """`host:port` of the listener that asks for a user."""
        return f"{ports.HOST}:{self.guarded_port}"

    def command(self) -> list[str]:
        command = super().command()
        _add(Path(command[-1]), self._more)
        return command

    def _more(self, settings: Mapping[str, str]) -> dict[str, str]:
        plain = [each for each in settings["listeners"].split(",") if not each.startswith("CONTROLLER")]
        login = "org.apache.kafka.common.security.plain.PlainLoginModule"
        here = ports.HOST
        advertised = f"PROXIED://{here}:{self.advertised_port},GUARDED://{here}:{self.guarded_port}"
        return {
            "listeners": f"{settings['listeners']},"
            f"PROXIED://{here}:{self.proxied_port},GUARDED://{here}:{self.guarded_port}",
            "advertised.listeners": ",".join([*plain, advertised]),
            "listener.security.protocol.map": settings["listener.security.protocol.map"]
            + ",PROXIED:PLAINTEXT,GUARDED:SASL_PLAINTEXT",
            "listener.name.guarded.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.guarded.plain.sasl.jaas.config": f'{login} required user_{USER}="{PASSWORD}";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }


def _add(properties: Path, more: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
    lines = properties.read_text(encoding="utf-8").splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    settings |= more(settings)
    properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
