"""The product's task runner over tasks that lie there already: what the outside handlers are called by."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from bench.ground import Ground
from usercenter.bootstrap import Workshop
from usercenter.config.model import Config
from usercenter.events import Event, encode, headers_of
from usercenter.messaging import tasks
from usercenter.messaging.equipment import Equipment
from usercenter.messaging.groups import Schedule, handlers_by_name, task_name
from usercenter.messaging.leases import Leases
from usercenter.messaging.runner import Runner
from usercenter.messaging.tasks import NewTask
from usercenter.metrics import Metrics

_AT_ONCE: Final = 1_000
_LOOK_EVERY_SECONDS: Final = 0.005


def task(
    event: Event,
    handler: str,
    lane: str = "",
    *,
    topic: str,
    group: str = "usercenter",
    headers: Mapping[str, str] | None = None,
) -> NewTask:
    """The row that a batch leaves for one outside handler in one of its lanes; by default with the event's headers."""
    return NewTask(
        handler=task_name(handler, lane),
        user_id=event.user_id,
        sequence=event.sequence,
        event_id=event.id,
        event_type=event.type,
        key=str(event.user_id).encode(),
        payload=encode(event),
        group=group,
        topic=topic,
        partition=0,
        offset=0,
        attempts=0,
        delay_seconds=0.0,
        last_error=None,
        occurred_at=event.occurred_at,
        headers=headers_of(event) if headers is None else headers,
    )


async def leave(ground: Ground, work: Sequence[NewTask]) -> None:
    """Put the tasks into the table, and let PostgreSQL come to rest."""
    for start in range(0, len(work), _AT_ONCE):
        async with ground.database.transaction() as tx:
            await tasks.add(tx, work[start : start + _AT_ONCE])
    await ground.settle()


async def seconds_until(
    is_done: Callable[[Metrics], bool], parts: Workshop, *, ground: Ground, config: Config
) -> float:
    """Let a runner, alone on its shards, work with these parts until it is done; the seconds from its start."""
    metrics = Metrics()
    leases = Leases(
        "tasks",
        database=parts.database,
        clock=ground.clock,
        metrics=metrics,
        lease_seconds=config.tasks.lease_seconds,
    )
    equipment = Equipment(
        config=config,
        registry=parts.registry,
        database=parts.database,
        leases=leases,
        context=parts.context,
        streams=parts.streams,
        schedule=Schedule(),
        metrics=metrics,
    )
    runner = Runner(equipment, handlers=handlers_by_name(parts.groups))
    await leases.beat()
    heartbeat = asyncio.create_task(leases.keep())
    began = time.perf_counter()
    work = asyncio.create_task(runner.run())
    while not is_done(metrics) and not work.done():  # noqa: ASYNC110  # a counter has no event to wait for
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
    seconds = time.perf_counter() - began
    await _end(work)
    await runner.close(timeout_seconds=1)
    await _end(heartbeat)
    await leases.release()  # the next runner on this ground need not wait until the lease has run out
    return seconds


def done(metrics: Metrics) -> int:
    """How many tasks have come to their good end, and been struck off."""
    samples = [each for family in metrics.handled.collect() for each in family.samples]
    return int(sum(each.value for each in samples if each.name.endswith("_total") and each.labels["outcome"] == "done"))


async def _end(work: asyncio.Task[None]) -> None:
    """Cancel it; what it raised before is raised here."""
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
