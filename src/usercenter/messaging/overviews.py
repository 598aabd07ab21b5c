"""Brokers, topics and groups, looked at now and then by one process and kept for a few minutes.

The commands `brokers`, `topics list|describe` and `groups list|describe` read what it saw: who types them again and
again asks PostgreSQL, not the brokers. What is looked at is bounded, for the cluster may be shared by a whole company:
every topic is listed, but only ours are described; of the groups a hundred at most, ours first.
"""

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from usercenter.config.model import Config
from usercenter.db import Database, Transaction, is_transient
from usercenter.messaging import cluster, turns
from usercenter.messaging.brokers import KafkaState
from usercenter.messaging.client import topics_by_stream
from usercenter.messaging.cluster import Cluster, Question

log = structlog.get_logger()

_KIND: Final = "overview"
_KEPT_SECONDS: Final = 300.0
_FIRST_AFTER_SECONDS: Final = 5.0
"""The topics of a new system are still to be made."""
_INTERVALS_FRESH: Final = 4


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
        ours = sorted(set(topics_by_stream(config.kafka).values()))
        self._question = Question(kafka=config.kafka, topics=ours, groups=sorted(groups))
        self._database = database
        self._state = state
        self._told: str | None = None

    async def keep(self) -> None:
        """Again and again until cancelled; never, if the configuration says 0."""
        pause_seconds = min(self._every_seconds, _FIRST_AFTER_SECONDS)
        while self._every_seconds:
            await asyncio.sleep(pause_seconds)
            pause_seconds = self._every_seconds
            try:
                await self.turn()
            except Exception as error:
                if not is_transient(error):
                    raise
        await asyncio.Event().wait()

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

    async def _look(self) -> Cluster | None:
        answer = await cluster.look(self._question)
        for each in answer.left_out:
            if each.kind == "topic":
                log.info("overview.topic_left_out", topic=each.name, error=each.error)
            else:
                log.info("overview.group_left_out", group=each.name, error=each.error)
        if answer.cluster is None:
            self._tell(answer.error)
        else:
            self._told = None
        return answer.cluster

    def _tell(self, error: str) -> None:
        if error != self._told:
            log.warning("overview.brokers_not_asked", error=error, next="the commands ask the brokers themselves")
        self._told = error


_DECODER: Final = msgspec.json.Decoder(Overview)
