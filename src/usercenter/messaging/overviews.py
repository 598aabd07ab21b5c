"""Brokers, topics and groups, looked at now and then by one process and kept for a few minutes.

The commands `brokers`, `topics list|describe` and `groups list|describe` read what it saw: who types them again and
again asks PostgreSQL, not the brokers. What is looked at is bounded, for the cluster may be shared by a whole company:
every topic is listed, but only ours are described; of the groups a hundred at most, ours first.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from usercenter.config.model import Config
from usercenter.db import Database, Transaction, is_transient
from usercenter.messaging import consumer_groups, topics, turns
from usercenter.messaging.brokers import KafkaState
from usercenter.messaging.client import BrokerFailure, topics_by_stream
from usercenter.messaging.consumer_groups import ConsumerGroup
from usercenter.messaging.onlooker import PATIENCE_SECONDS, Clients, Onlooker
from usercenter.messaging.topics import Topic

log = structlog.get_logger()

_KIND: Final = "overview"
_KEPT_SECONDS: Final = 300.0
_FIRST_AFTER_SECONDS: Final = 5.0
"""The topics of a new system are still to be made."""
_INTERVALS_FRESH: Final = 4
_GROUPS_AT_MOST: Final = 100
_DATING_SECONDS: Final = 10.0
"""For reading since when groups are behind; later groups have their lag alone."""


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """What the brokers said."""

    partitions: dict[str, int]
    """Of every topic, Kafka's own too."""
    topics: list[Topic]
    """Ours, as far as they could be described."""
    groups: list[ConsumerGroup]
    groups_left_out: int
    """Beyond the hundred, or not to be described."""


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """One look."""

    taken_at: datetime
    state: KafkaState
    cluster: Cluster | None
    """None when the brokers could not be asked."""


class Aged(NamedTuple):
    """An overview, and how old it is by PostgreSQL's clock."""

    overview: Overview
    seconds: float


def fresh_seconds(config: Config) -> float:
    """How old an overview may be that a command still shows."""
    return float(_INTERVALS_FRESH * config.monitoring.kafka_every_seconds)


async def latest(tx: Transaction, *, seconds: float) -> Aged | None:
    """The last overview, if it is not older than that."""
    found = await turns.seen(tx, _KIND, seconds=seconds)
    if not found:
        return None
    overview = _DECODER.decode(found[-1])
    row: Any = await tx.fetch_one("select extract(epoch from clock_timestamp() - %s)::float", (overview.taken_at,))
    return Aged(overview, max(0.0, row[0]))


class Overviews:
    """Takes them when it is this process's turn."""

    def __init__(
        self, config: Config, *, database: Database, groups: Collection[str], state: Callable[[], KafkaState]
    ) -> None:
        """`groups`: the names of ours. `state`: what this process knows of the brokers anyway."""
        self._every_seconds = float(config.monitoring.kafka_every_seconds)
        self._topics = frozenset(topics_by_stream(config.kafka).values())
        self._groups = frozenset(groups)
        self._database = database
        self._state = state
        self._onlooker = Onlooker(config.kafka)
        self._told: str | None = None

    async def keep(self) -> None:
        """Again and again until cancelled; never, if the configuration says 0."""
        pause_seconds = min(self._every_seconds, _FIRST_AFTER_SECONDS)
        try:
            while self._every_seconds:
                await asyncio.sleep(pause_seconds)
                pause_seconds = self._every_seconds
                try:
                    await self.turn()
                except Exception as error:
                    if not is_transient(error):
                        raise
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def turn(self) -> bool:
        """Take one if the last one is old enough; returns whether one was taken."""
        async with self._database.transaction() as tx:
            moment = await turns.claim(tx, _KIND, every_seconds=self._every_seconds)
        if moment is None:
            return False
        cluster = await self._look()  # with no transaction open
        overview = Overview(taken_at=moment, state=self._state(), cluster=cluster)
        async with self._database.transaction() as tx:
            await turns.keep(tx, _KIND, moment, msgspec.json.encode(overview), kept_seconds=_KEPT_SECONDS)
        return True

    async def close(self) -> None:
        """Let the clients go. May be called twice."""
        await asyncio.to_thread(self._onlooker.close)

    async def _look(self) -> Cluster | None:
        try:
            found = await asyncio.to_thread(self._ask)
        except BrokerFailure as error:
            self._tell(error.args[0].str())
            return None
        self._told = None
        return found

    def _ask(self) -> Cluster:
        with self._onlooker.clients() as clients:
            metadata = clients.admin.list_topics(timeout=PATIENCE_SECONDS)
            names = consumer_groups.listed(clients.admin, timeout_seconds=PATIENCE_SECONDS)
            groups = _groups(clients, sorted(names, key=lambda name: (name not in self._groups, name)))
            return Cluster(
                partitions=topics.partitions_of(metadata),
                topics=_topics(clients, [each for name, each in metadata.topics.items() if name in self._topics]),
                groups=sorted(groups, key=lambda group: group.name),
                groups_left_out=len(names) - len(groups),
            )

    def _tell(self, error: str) -> None:
        if error != self._told:
            log.warning("overview.brokers_not_asked", error=error, next="the commands ask the brokers themselves")
        self._told = error


def _topics(clients: Clients, wanted: Iterable[Any]) -> list[Topic]:
    """Without those that cannot be described now: one that has no leader must not hide the others."""
    found = []
    for metadata in wanted:
        try:
            found.append(topics.described(clients, metadata, timeout_seconds=PATIENCE_SECONDS))
        except BrokerFailure as error:
            log.info("overview.topic_left_out", topic=metadata.topic, error=error.args[0].str())
    return found


def _groups(clients: Clients, names: list[str]) -> list[ConsumerGroup]:
    """As many as are described, with few questions; if one of them cannot be, with questions for each."""
    chosen = names[:_GROUPS_AT_MOST]
    try:
        found = consumer_groups.described(clients.admin, chosen, timeout_seconds=PATIENCE_SECONDS)
    except BrokerFailure:
        found = [group for name in chosen for group in _group(clients, name)]
    deadline = time.monotonic() + _DATING_SECONDS
    return [
        consumer_groups.dated(clients.consumer, each, timeout_seconds=PATIENCE_SECONDS)
        if time.monotonic() < deadline
        else each
        for each in found
    ]


def _group(clients: Clients, name: str) -> list[ConsumerGroup]:
    try:
        return consumer_groups.described(clients.admin, [name], timeout_seconds=PATIENCE_SECONDS)
    except BrokerFailure as error:
        log.info("overview.group_left_out", group=name, error=error.args[0].str())
        return []


_DECODER: Final = msgspec.json.Decoder(Overview)
