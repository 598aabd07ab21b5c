"""What is behind, looked at every five seconds by one process and kept for a quarter of an hour.

Pages, commands and metrics read the rows; none of them asks the brokers.
"""

import asyncio
import math
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from usercenter.config.model import Kafka
from usercenter.db import Database, Transaction, is_transient
from usercenter.messaging import outbox, turns
from usercenter.messaging.client import BrokerFailure, topics_by_stream
from usercenter.messaging.groups import Group, handlers_by_name
from usercenter.messaging.lags import GroupLag, Lags
from usercenter.metrics import Metrics

log = structlog.get_logger()

EVERY_SECONDS: Final = 5.0
_KIND: Final = "levels"
_TREND_SECONDS: Final = 60.0
_KEPT_SECONDS: Final = 900.0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One look at everything that can be behind."""

    taken_at: datetime
    groups: list[GroupLag] | None
    """None when the brokers could not be asked."""
    handlers: dict[str, datetime]
    """When the event of each handler's oldest unfinished task happened; handlers without tasks are left out."""
    outbox_depth: int
    outbox_oldest_at: datetime | None


async def recent(tx: Transaction, *, seconds: float) -> list[Snapshot]:
    """The whole snapshots of the last seconds, the oldest one first."""
    return [_DECODER.decode(body) for body in await turns.seen(tx, _KIND, seconds=seconds)]


async def latest(tx: Transaction) -> Snapshot | None:
    """The last snapshot, if it is of the last quarter of an hour."""
    found = await recent(tx, seconds=_KEPT_SECONDS)
    return found[-1] if found else None


def drain_seconds(snapshots: Sequence[Snapshot], group: str) -> float:
    """How long until the group's lag is gone if it goes on shrinking as between the first and the last of these.

    0 without a lag; infinite while it grows, stands, or was looked at only once.
    """
    lags = [(each.taken_at, lag.lag) for each in snapshots for lag in each.groups or () if lag.name == group]
    if not lags or lags[-1][1] == 0:
        return 0.0
    (first_at, first), (last_at, last) = lags[0], lags[-1]
    if last >= first:
        return math.inf
    return last * (last_at - first_at).total_seconds() / (first - last)


class Snapshots:
    """Takes them when it is this process's turn, and shows the last one as metrics in any case."""

    def __init__(self, kafka: Kafka, *, database: Database, groups: Sequence[Group], metrics: Metrics) -> None:
        topics = topics_by_stream(kafka)
        self._lags = Lags(kafka, {group.name: topics[group.stream] for group in groups})
        self._database = database
        self._handlers = list(handlers_by_name(groups))
        self._metrics = metrics

    async def keep(self) -> None:
        """Every five seconds until cancelled; not at once, for the topics of a new system are still to be made."""
        try:
            while True:
                await asyncio.sleep(EVERY_SECONDS)
                try:
                    await self.turn()
                except Exception as error:
                    if not is_transient(error):
                        raise
        finally:
            await self.close()

    async def turn(self) -> bool:
        """Take a snapshot if the last one is old enough, and show the last one; returns whether one was taken."""
        async with self._database.transaction() as tx:
            moment = await turns.claim(tx, _KIND, every_seconds=EVERY_SECONDS)
        if moment is not None:
            await self._take(moment)
        async with self._database.transaction() as tx:
            seen = await recent(tx, seconds=_TREND_SECONDS)
            now = await _now(tx)
        show(self._metrics, seen, self._handlers, now)
        return moment is not None

    async def close(self) -> None:
        """Let the clients go. May be called twice."""
        await asyncio.to_thread(self._lags.close)

    async def _take(self, moment: datetime) -> None:
        groups = await self._look()  # with no transaction open
        async with self._database.transaction() as tx:
            depth, oldest = await outbox.depth(tx)
            snapshot = Snapshot(
                taken_at=moment,
                groups=groups,
                handlers={row[0]: row[1] for row in await tx.fetch_all(_OLDEST_TASKS)},
                outbox_depth=depth,
                outbox_oldest_at=oldest,
            )
            await turns.keep(tx, _KIND, moment, msgspec.json.encode(snapshot), kept_seconds=_KEPT_SECONDS)

    async def _look(self) -> list[GroupLag] | None:
        try:
            return await asyncio.to_thread(self._lags.look)
        except BrokerFailure as error:
            log.warning("snapshots.brokers_not_asked", error=error.args[0].str(), next="asked again in a few seconds")
            return None


def show(metrics: Metrics, snapshots: Sequence[Snapshot], handlers: Collection[str], now: datetime) -> None:
    """Set the gauges to what the last of these snapshots say; what they do not say stays as it was.

    An event that was not handled then is taken to be unhandled still: an old snapshot says too much, never too little.
    """
    if not snapshots:
        return
    unfinished = snapshots[-1].handlers
    for handler in handlers:
        metrics.handler_behind.labels(handler).set(_age(unfinished.get(handler), now))
    asked = [each for each in snapshots if each.groups is not None]
    if not asked:
        return
    metrics.snapshot_time.set(asked[-1].taken_at.timestamp())
    for group in asked[-1].groups or ():
        metrics.group_lag.labels(group.name, group.topic).set(group.lag)
        metrics.group_drain.labels(group.name).set(drain_seconds(asked, group.name))
        if group.lag == 0 or group.oldest_unread_at is not None:
            metrics.group_behind.labels(group.name).set(_age(group.oldest_unread_at, now))


def _age(moment: datetime | None, now: datetime) -> float:
    return max(now - moment, timedelta()).total_seconds() if moment else 0.0


async def _now(tx: Transaction) -> datetime:
    row = await tx.fetch_one("select now()")
    assert row is not None  # noqa: S101  # it is one row by definition
    moment: datetime = row[0]
    return moment


_DECODER: Final = msgspec.json.Decoder(Snapshot)

_OLDEST_TASKS: Final = "select split_part(handler, '/', 1), min(occurred_at) from tasks group by 1"
