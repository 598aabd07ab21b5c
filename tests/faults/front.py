"""What stands before the servers in tests of outages: a proxy each, and a small disk below the broker."""

from dataclasses import dataclass

import httpx
from faults.broker import FaultyKafka
from faults.proxy import Proxy
from faults.volume import Volume
from harness import eventually
from msgspec.structs import replace

from usercenter.config.model import Config
from usercenter.embedded.parts import Running


@dataclass(frozen=True, kw_only=True)
class Front:
    """What stands before the servers."""

    broker: FaultyKafka
    broker_disk: Volume
    to_broker: Proxy
    to_database: Proxy

    def far(self, config: Config, *, patience_seconds: int = 2) -> Config:
        """This configuration with both servers behind their proxies, and clients that soon give an answer up."""
        port, here = config.database.url.rsplit("/", 1)[0].rsplit(":", 1)[1], str(self.to_database.port)
        quick = {"socket.timeout.ms": str(patience_seconds * 1000), "metadata.max.age.ms": "1000"}
        return replace(
            config,
            kafka=replace(config.kafka, brokers=[self.to_broker.address], librdkafka=quick),
            database=replace(config.database, url=config.database.url.replace(f":{port}/", f":{here}/")),
        )


@dataclass(frozen=True, kw_only=True)
class Fronted(Running):
    """The parts, and what stands before them."""

    front: Front


async def ready(client: httpx.AsyncClient) -> None:
    """Wait until the service has looked at its schema, and PostgreSQL is there."""

    async def is_ready() -> bool:
        return (await client.get("/ready")).status_code == 200

    await eventually(is_ready, what="readiness")
