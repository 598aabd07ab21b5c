"""Is Kafka there, and what is it? Looked at now and then; everybody else reads the last answer.

No request, page or metric asks the brokers itself.
"""

import asyncio
from datetime import datetime
from typing import Final

import confluent_kafka
import msgspec
import structlog
from confluent_kafka.admin import AdminClient

from usercenter.clock import Clock
from usercenter.config.model import Kafka
from usercenter.messaging import api_versions
from usercenter.messaging.client import client_logger, client_settings

log = structlog.get_logger()

LOOK_EVERY_SECONDS: Final = 5.0
_TIMEOUT_SECONDS: Final = 3.0
NEXT_STEP: Final = (
    "start the broker or correct `kafka.brokers`; events wait in the outbox and are sent in order afterwards"
)


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """One broker of the cluster."""

    id: int
    address: str
    release: str | None = None
    api_versions: dict[str, str] = {}
    error: str | None = None


class KafkaState(msgspec.Struct, frozen=True, kw_only=True):
    """What the last look saw."""

    is_reachable: bool
    since: datetime
    asked: list[str]
    brokers: list[Broker] = []
    controller: int | None = None
    """Which of them is asked to change topics; with KRaft, a broker that passes it on."""
    error: str | None = None
    next_step: str | None = None


class BrokerWatch:
    """Keeps `state` fresh."""

    def __init__(self, kafka: Kafka, *, clock: Clock) -> None:
        self._kafka = kafka
        self._clock = clock
        self.state = KafkaState(is_reachable=False, since=clock.now(), asked=kafka.brokers, error="not asked yet")

    async def keep(self) -> None:
        """Look again and again until cancelled."""
        admin = AdminClient(client_settings(self._kafka), logger=client_logger())
        while True:
            await asyncio.to_thread(self.look, admin)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    def look_once(self) -> KafkaState:
        """Ask once, with a client of its own. Blocks a few seconds at most."""
        return self.look(AdminClient(client_settings(self._kafka), logger=client_logger()))

    def look(self, admin: AdminClient) -> KafkaState:
        """Ask once and remember the answer; logs when it differs from the one before. Blocks a few seconds at most."""
        before = self.state
        try:
            metadata = admin.list_topics(timeout=_TIMEOUT_SECONDS)
        except confluent_kafka.KafkaException as error:
            self._note_unreachable(before, error.args[0].str())
        else:
            brokers = [self._describe(each.id, str(each.host), each.port) for each in metadata.brokers.values()]
            since = before.since if before.is_reachable else self._clock.now()
            self.state = KafkaState(
                is_reachable=True,
                since=since,
                asked=self._kafka.brokers,
                brokers=brokers,
                controller=metadata.controller_id,
            )
            if not before.is_reachable:
                log.info("kafka.broker_reachable", brokers=[f"{each.address} ({each.release})" for each in brokers])
        return self.state

    def _note_unreachable(self, before: KafkaState, reason: str) -> None:
        is_new = before.is_reachable or before.next_step is None
        self.state = KafkaState(
            is_reachable=False,
            since=self._clock.now() if is_new else before.since,
            asked=self._kafka.brokers,
            error=f"no broker of {', '.join(self._kafka.brokers)} can be reached: {reason}",
            next_step=NEXT_STEP,
        )
        if is_new:
            log.error("kafka.broker_unreachable", brokers=self._kafka.brokers, error=reason, next=NEXT_STEP)

    def _describe(self, id: int, host: str, port: int) -> Broker:
        address = f"{host}:{port}"
        if self._kafka.librdkafka.get("security.protocol", "plaintext").lower() not in {"plaintext", "sasl_plaintext"}:
            return Broker(id=id, address=address, error="versions are only read over plain connections")
        try:
            versions = api_versions.ask(host, port, timeout_seconds=_TIMEOUT_SECONDS)
        except (OSError, ValueError) as error:
            return Broker(id=id, address=address, error=str(error))
        return Broker(id=id, address=address, release=versions.release, api_versions=versions.api_versions)
