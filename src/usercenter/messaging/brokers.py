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
from usercenter.messaging.advice import UNREACHABLE, advise
from usercenter.messaging.client import client_logger, client_settings
from usercenter.messaging.troubles import Troubles

log = structlog.get_logger()

LOOK_EVERY_SECONDS: Final = 5.0
_TIMEOUT_SECONDS: Final = 3.0
_ANY: Final = "the brokers"


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
    meanwhile: str | None = None
    next_step: str | None = None
    see: str | None = None
    """The page of the docs about it."""


class BrokerWatch:
    """Keeps `state` fresh."""

    def __init__(self, kafka: Kafka, *, clock: Clock) -> None:
        self._kafka = kafka
        self._clock = clock
        self._troubles = Troubles(clock, doing="send", calm_seconds=0)
        self._cause: confluent_kafka.KafkaError | None = None
        self.state = KafkaState(is_reachable=False, since=clock.now(), asked=kafka.brokers, error="not asked yet")

    async def keep(self) -> None:
        """Look again and again until cancelled."""
        admin = self._client()
        while True:
            await asyncio.to_thread(self.look, admin)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    def look_once(self) -> KafkaState:
        """Ask once, with a client of its own. Blocks a few seconds at most."""
        return self.look(self._client())

    def _client(self) -> AdminClient:
        return AdminClient(client_settings(self._kafka) | {"error_cb": self._note_cause}, logger=client_logger())

    def look(self, admin: AdminClient) -> KafkaState:
        """Ask once and remember the answer; logs when it differs from the one before. Blocks a few seconds at most."""
        before = self.state
        try:
            metadata = admin.list_topics(timeout=_TIMEOUT_SECONDS)
        except confluent_kafka.KafkaException as error:
            admin.poll(0)  # its cause comes by a call back
            self._note_unreachable(before, self._cause or error.args[0])
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
                self._tell_reachable()
        return self.state

    def _note_cause(self, error: confluent_kafka.KafkaError) -> None:
        if error.code() != confluent_kafka.KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # says nothing new
            self._cause = error

    def _note_unreachable(self, before: KafkaState, error: confluent_kafka.KafkaError) -> None:
        self._cause = None
        is_new = before.is_reachable or before.next_step is None
        advice = advise(error, doing="send")
        advice = advice if advice.page == UNREACHABLE.page else UNREACHABLE
        asked = ", ".join(self._kafka.brokers)
        self.state = KafkaState(
            is_reachable=False,
            since=self._clock.now() if is_new else before.since,
            asked=self._kafka.brokers,
            error=f"no broker of {asked} can be reached: {error.str()}",
            meanwhile=advice.meanwhile,
            next_step=advice.next,
            see=advice.page,
        )
        if trouble := self._troubles.met(_ANY, error):
            since = {
                "since": self.state.since.isoformat(timespec="seconds")
            }  # of the outage, whatever its cause is now
            log.error(
                "kafka.broker_unreachable", brokers=self._kafka.brokers, **trouble.facts() | advice.facts() | since
            )

    def _tell_reachable(self) -> None:
        self._troubles.went_well(_ANY)
        ended = self._troubles.ended()
        lasted = {"lasted_seconds": max(seconds for _, seconds in ended)} if ended else {}
        seen = [f"{each.address} ({each.release})" for each in self.state.brokers]
        log.info("kafka.broker_reachable", brokers=seen, **lasted)

    def _describe(self, id: int, host: str, port: int) -> Broker:
        address = f"{host}:{port}"
        if self._kafka.librdkafka.get("security.protocol", "plaintext").lower() not in {"plaintext", "sasl_plaintext"}:
            return Broker(id=id, address=address, error="versions are only read over plain connections")
        try:
            versions = api_versions.ask(host, port, timeout_seconds=_TIMEOUT_SECONDS)
        except (OSError, ValueError) as error:
            return Broker(id=id, address=address, error=str(error))
        return Broker(id=id, address=address, release=versions.release, api_versions=versions.api_versions)
