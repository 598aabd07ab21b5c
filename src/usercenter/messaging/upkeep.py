"""What has to be done now and then: look at the levels for the metrics, and forget what is past its retention."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import structlog

from usercenter.config.model import Retention
from usercenter.db import Database, Transaction, is_transient
from usercenter.messaging import inbox, outbox, stops, tasks
from usercenter.messaging.groups import Group, Handler, handlers_by_name
from usercenter.metrics import Metrics

log = structlog.get_logger()

_MEASURE_EVERY_SECONDS: Final = 5.0
_FORGET_EVERY_SECONDS: Final = 600.0
_FORGET_AT_ONCE: Final = 10_000


def expect(metrics: Metrics, groups: Sequence[Group], topics: Mapping[str, str]) -> None:
    """Begin what counts failures at 0: a rate is of no use if it only begins with the first failure."""
    for group in groups:
        metrics.repeated.labels(group.name)
        metrics.records_lost.labels(group.name, topics[group.stream])
    for name in handlers_by_name(groups):
        metrics.breaker_open.labels(name)
        for outcome in ("done", "failed", "dead"):
            metrics.handled.labels(name, outcome)


async def measure(database: Database, metrics: Metrics, groups: Sequence[Group]) -> None:
    """Keep the gauges of outbox, tasks, dead letters and stops fresh until cancelled."""
    handlers = handlers_by_name(groups)
    while True:
        try:
            async with database.transaction() as tx:
                await look(tx, metrics, handlers)
                await look_for_stops(tx, metrics, [*handlers, *(group.name for group in groups)])
        except Exception as error:
            if not is_transient(error):
                raise
        await asyncio.sleep(_MEASURE_EVERY_SECONDS)


async def look(tx: Transaction, metrics: Metrics, handlers: Mapping[str, Handler]) -> None:
    """Set the gauges to what the tables hold now."""
    depth, oldest = await outbox.depth(tx)
    levels = await tasks.counts(tx)
    dead = await tx.fetch_all(
        "select split_part(handler, '/', 1), count(*) from dead_letters where settled_at is null group by 1"
    )
    metrics.outbox_depth.set(depth)
    metrics.outbox_oldest.set(oldest.timestamp() if oldest else 0)
    metrics.tasks.clear()  # nothing is awaited from here on, so nobody sees the gauges half set
    metrics.dead_letters.clear()
    for handler in handlers:
        metrics.tasks.labels(handler, "waiting").set(0)
        metrics.tasks.labels(handler, "parked").set(0)
        metrics.dead_letters.labels(handler).set(0)
    for handler, is_parked, number in levels:
        metrics.tasks.labels(handler, "parked" if is_parked else "waiting").set(number)
    for handler, number in dead:
        metrics.dead_letters.labels(handler).set(number)


async def look_for_stops(tx: Transaction, metrics: Metrics, names: Collection[str]) -> None:
    """Say of each of these whether it has stopped itself."""
    stopped = {stop.name for stop in await stops.among(tx, names)}
    for name in names:
        metrics.stopped.labels(name).set(name in stopped)


async def forget(database: Database, retention: Retention) -> None:
    """Delete inbox rows past their retention, in small transactions, until cancelled."""
    while True:
        try:
            async with database.transaction() as tx:
                deleted = await inbox.forget_older_than(tx, days=retention.inbox_days, at_most=_FORGET_AT_ONCE)
        except Exception as error:
            if not is_transient(error):
                raise
            deleted = 0
        if deleted:
            log.info("inbox.forgotten", rows=deleted)
        await asyncio.sleep(_FORGET_EVERY_SECONDS if deleted < _FORGET_AT_ONCE else 0)
