"""F5 and F10: the broker ends, is killed, is frozen, has no room, under load."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from faults.front import Front, ready
from faults.ledger import check
from faults.load import Clients
from faults.report import Figures
from harness import World, eventually

from usercenter.db import Signal
from usercenter.embedded.errors import PartUnavailable

ASKED = 15


@asynccontextmanager
async def stopped(front: Front, seconds: float) -> AsyncIterator[None]:
    """SIGTERM, and away for so long."""
    await front.broker.stop()
    yield
    await Signal().wait(seconds)
    await front.broker.start()


@asynccontextmanager
async def killed(front: Front, seconds: float) -> AsyncIterator[None]:
    """SIGKILL, and away for so long."""
    await front.broker.kill()
    yield
    await Signal().wait(seconds)
    await front.broker.start()


@asynccontextmanager
async def frozen(front: Front, seconds: float) -> AsyncIterator[None]:
    """SIGSTOP for so long."""
    front.broker.freeze()
    try:
        yield
        await Signal().wait(seconds)
    finally:
        front.broker.thaw()


LONG = pytest.mark.long


@pytest.mark.fault("F5")
@pytest.mark.parametrize(
    ("outage", "seconds"),
    [
        (frozen, 3),
        pytest.param(stopped, 20, marks=LONG),
        pytest.param(killed, 0, marks=LONG),
        pytest.param(frozen, 60, marks=LONG),
    ],
)
@pytest.mark.alone
async def test_while_the_broker_is_away_the_api_answers_as_before_and_afterwards_everything_is_drained_in_order(
    world: World,
    front: Front,
    clients: Callable[..., Clients],
    *,
    file: Path,
    figures: Figures,
    outage: Callable[..., contextlib.AbstractAsyncContextManager[None]],
    seconds: float,
) -> None:
    async with world.service() as (service, client):
        await ready(client)
        await eventually(service.is_reading, what="the consumers")
        load = clients(lambda: [service.url], clerks=2, pause_seconds=0.1)
        async with load.at_work():
            before = await answers(load)
            async with outage(front, seconds):
                meanwhile = await answers(load)
            began = time.monotonic()
            last = await world.value("select coalesce(max(position), 0) from outbox")
            await eventually(
                lambda: world.value("select count(*) from outbox where position <= %s", last),
                lambda number: number == 0,
                what="the outbox of the outage",
                timeout_seconds=60,
            )
            recovery = time.monotonic() - began
        tally = await check(world, file, timeout_seconds=90)

    assert (tally.fail, tally.unknown) == (0, 0)
    assert meanwhile < before * 4 + 0.05
    figures.note(
        f"{outage.__name__} for {seconds:g} s (an operation takes {before * 1000:.0f} ms before, "
        f"{meanwhile * 1000:.0f} ms meanwhile)",
        kills=1,
        tally=tally,
        recoveries=[recovery],
    )


async def answers(load: Clients) -> float:
    """How long one client waits for one operation, in the middle of some."""
    seen: list[float] = []
    for _ in range(ASKED):
        begun, at = load.begun, time.monotonic()
        await eventually(lambda begun=begun: load.begun > begun, what="an operation")  # type: ignore[misc]
        seen.append(time.monotonic() - at)
    return statistics.median(seen)


@pytest.mark.long
@pytest.mark.fault("F10")
async def test_a_broker_whose_disk_is_full_acknowledges_nothing_falsely_and_catches_up_when_there_is_room(
    world: World, front: Front, clients: Callable[..., Clients], file: Path, figures: Figures
) -> None:
    async with world.service() as (service, client):
        await ready(client)
        await eventually(service.is_reading, what="the consumers")
        load = clients(lambda: [service.url])
        await load.work(20)
        await asyncio.to_thread(front.broker_disk.fill)
        try:
            await load.work(40)
            await eventually(lambda: not front.broker.is_running, what="the end of the broker", timeout_seconds=60)
            await load.work(20)
            assert await world.count("outbox") > 0
            assert (await client.get("/ready")).status_code == 200
            with pytest.raises(PartUnavailable):
                await front.broker.start()
        finally:
            front.broker_disk.make_room()
            began = time.monotonic()
            await front.broker.start()
        await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="an empty outbox")
        recovery = time.monotonic() - began
        tally = await check(world, file, timeout_seconds=90)

    assert (tally.fail, tally.unknown) == (0, 0)
    figures.note("the broker's disk is full: it ends, and is started with room", tally=tally, recoveries=[recovery])
