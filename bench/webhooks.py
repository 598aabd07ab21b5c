"""Webhooks: events that wait as tasks, one for each receiver, are signed and sent, each attempt is kept.

The product claims each task in PostgreSQL, looks the webhook up, opens its sealed secret, signs, checks where the
address leads, calls, writes the attempt down and notes the end. The loop signs and calls, with as many calls at a time
as the product has lanes. The receivers are uvicorn in a process of their own, and loopback is allowed by name.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Final
from uuid import UUID

import httpx
from msgspec.structs import replace

from bench import errands, traffic
from bench.counterpart import Counterpart, counterpart
from bench.ground import Ground
from bench.measure import Figure, Goal, Measure, WorkNotDone
from usercenter.bootstrap import Workshop, workshop
from usercenter.config.model import Config, Tasks
from usercenter.events import Event, encode
from usercenter.handlers.webhooks import deliver_webhook
from usercenter.webhooks.service import Webhooks
from usercenter.webhooks.signing import new_secret, signed_headers

_QUICK: Final = 9
_ALONE: Final = "calls/s to nine quick receivers"
_BESIDE: Final = "calls/s to them beside a slow one"
_KEPT: Final = "what they keep of their rate"
_SLOW_SECONDS: Final = 5.0
_LOOP: Final = "loop of httpx"
_LOOK_EVERY_SECONDS: Final = 0.02
_HOST: Final = "127.0.0.1"


async def by_the_product(ground: Ground, number: int) -> dict[str, float]:
    """The task runner with `deliver_webhook`: to nine quick receivers, and then to these beside a slow tenth."""
    alone = await _deliver(ground, number, slow=0)
    async with ground.database.transaction() as tx:
        await tx.execute("delete from tasks")
        await tx.execute("delete from webhooks")
    beside = await _deliver(ground, number, slow=1)
    return {_ALONE: alone, _BESIDE: beside, _KEPT: beside / alone}


async def by_a_loop(ground: Ground, number: int) -> dict[str, float]:
    """One client of httpx and a loop for each of the product's lanes; each takes the next call."""
    events, secret = traffic.events(number // _QUICK), new_secret()
    async with counterpart(*_receivers(slow=0)) as receivers, httpx.AsyncClient(limits=_limits()) as client:
        calls = iter([(port, event) for event in events for port in receivers.ports])
        began = time.perf_counter()
        loops = (_call(client, calls, secret, ground) for _ in range(Tasks().concurrent_lanes))
        await asyncio.gather(*loops)
        seconds = time.perf_counter() - began
        await _prove(receivers, len(events))
    return {_ALONE: len(events) * _QUICK / seconds}


MEASURE: Final = Measure(
    name="webhooks",
    work=f"events → signed calls to nine receivers, alone and beside a tenth that takes {_SLOW_SECONDS:g} s to answer",
    events=5_000,
    contenders={"usercenter": by_the_product, _LOOP: by_a_loop},
    figures=(
        Figure(name=_ALONE, unit="calls/s"),
        Figure(name=_BESIDE, unit="calls/s"),
        Figure(name=_KEPT, unit="of 1"),
    ),
    goals=(
        Goal(
            words="the slow one delays nobody else: the others keep ≥ 0.95 of their rate", figure=_KEPT, at_least=0.95
        ),
    ),
)


async def _deliver(ground: Ground, number: int, *, slow: int) -> float:
    """The rate of the quick ones, over the time until the last of their calls is kept."""
    events = traffic.events(number // _QUICK)
    async with counterpart(*_receivers(slow=slow)) as receivers:
        config = _config(ground)
        async with workshop(config) as parts:
            webhooks = await _subscribe(parts, receivers)
            await errands.leave(ground, [_task(ground, event, each) for event in events for each in webhooks])
            wanted = len(events) * _QUICK
            async with _counting(ground, webhooks[:_QUICK]) as kept:
                seconds = await errands.seconds_until(
                    lambda _: kept.number >= wanted, parts, ground=ground, config=config
                )
        await _prove(receivers, len(events))
    return wanted / seconds


class _Kept:
    """How many calls to some webhooks are kept."""

    def __init__(self) -> None:
        self.number = 0


@asynccontextmanager
async def _counting(ground: Ground, webhooks: list[UUID]) -> AsyncIterator[_Kept]:
    """Count them in the table, again and again: the runner's own figures do not tell one receiver from another."""
    kept = _Kept()
    work = asyncio.create_task(_count(ground, webhooks, kept))
    try:
        yield kept
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


async def _count(ground: Ground, webhooks: list[UUID], kept: _Kept) -> None:
    while True:
        rows = await ground.database.run_alone(
            "select count(*) from webhook_deliveries where webhook_id = any(%s)", (webhooks,)
        )
        kept.number = rows[0][0]
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def _config(ground: Ground) -> Config:
    return replace(ground.config, webhooks=replace(ground.config.webhooks, allowed_hosts=[_HOST]))


def _receivers(*, slow: int) -> tuple[str, ...]:
    return "bench.receivers", str(_QUICK), str(slow), str(_SLOW_SECONDS)


async def _subscribe(parts: Workshop, receivers: Counterpart) -> list[UUID]:
    service, found = parts.context.service(Webhooks), []
    async with parts.database.transaction() as tx:
        for port in receivers.ports:
            webhook, _ = await service.create(tx, url=_url(port), event_types=["*"])
            found.append(webhook.id)
    return found


def _task(ground: Ground, event: Event, webhook: UUID) -> errands.NewTask:
    return errands.task(event, deliver_webhook.__name__, str(webhook), topic=ground.config.kafka.topics.user_events)


def _url(port: int) -> str:
    return f"http://{_HOST}:{port}/hook"


def _limits() -> httpx.Limits:
    return httpx.Limits(max_connections=None, max_keepalive_connections=Tasks().concurrent_lanes)


async def _call(client: httpx.AsyncClient, calls: Iterator[tuple[int, Event]], secret: str, ground: Ground) -> None:
    for port, event in calls:
        body = encode(event)
        headers = signed_headers(event.id, ground.clock.now(), body, [secret])
        answer = await client.post(_url(port), content=body, headers={**headers, "content-type": "application/json"})
        answer.raise_for_status()


async def _prove(receivers: Counterpart, events: int) -> None:
    """Each quick receiver has every event."""
    found = await receivers.counted()
    quick = [found[str(port)] for port in receivers.ports[:_QUICK]]
    if quick != [events] * _QUICK:
        raise WorkNotDone(f"the receivers have {quick} different signed calls instead of {events} each")
