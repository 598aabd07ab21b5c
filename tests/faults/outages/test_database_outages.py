"""F7: PostgreSQL throws everybody out, crashes, is away, under load: everything recovers by itself."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from faults.front import ready
from faults.ledger import Allowed, check
from faults.load import Clients
from faults.report import Figures
from harness import World, eventually, execute

from usercenter.db import DatabaseUnavailable, Signal

pytestmark = pytest.mark.fault("F7")
LONG = pytest.mark.long

OTHERS = (
    "select pg_terminate_backend(pid) from pg_stat_activity "
    "where datname = current_database() and pid <> pg_backend_pid()"
)


@asynccontextmanager
async def connections_ended(world: World, seconds: float) -> AsyncIterator[None]:
    """pg_terminate_backend of all connections, again and again for so long."""
    yield
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        execute(world.config.database.url, OTHERS)
        await Signal().wait(0.5)


@asynccontextmanager
async def crashed(world: World, seconds: float) -> AsyncIterator[None]:
    """SIGKILL of the server, and away for so long."""
    assert world.parts.postgres is not None
    await world.parts.postgres.kill()
    yield
    await Signal().wait(seconds)
    await world.parts.postgres.start()


@pytest.mark.parametrize(
    ("outage", "seconds"),
    [
        pytest.param(crashed, 3, marks=LONG),
        pytest.param(connections_ended, 3, marks=LONG),
        pytest.param(crashed, 0, marks=LONG),
        pytest.param(crashed, 60, marks=LONG),
        pytest.param(connections_ended, 30, marks=LONG),
    ],
)
async def test_an_outage_of_postgresql_loses_and_doubles_nothing_and_everything_recovers_by_itself(
    world: World,
    clients: Callable[..., Clients],
    file: Path,
    *,
    figures: Figures,
    outage: Callable[..., AbstractAsyncContextManager[None]],
    seconds: float,
) -> None:
    async with world.service() as (service, client):
        await ready(client)
        await eventually(service.is_reading, what="the consumers")
        load = clients(lambda: [service.url], clerks=3, pause_seconds=0.05)
        await load.work(20)
        async with load.at_work():
            async with outage(world, seconds):
                pass
            began = time.monotonic()
            await ready(client)
            last = await eventually(lambda: last_position(world), what="PostgreSQL")
            await eventually(
                lambda: world.value("select count(*) from outbox where position <= %s", last),
                lambda number: number == 0,
                what="the outbox of the outage",
            )
            recovery = time.monotonic() - began
        tally = await check(world, file, allowed=Allowed(mails_twice=True), timeout_seconds=90)

    assert {reason.split()[0] for reason in tally.reasons} <= {"503"}, tally.reasons
    figures.note(f"{outage.__name__} for {seconds:g} s", kills=1, tally=tally, recoveries=[recovery])


async def last_position(world: World) -> int | None:
    """The last message that waits, or 1; None while the pool of the test itself recovers."""
    try:
        return int(await world.value("select coalesce(max(position), 1) from outbox"))
    except DatabaseUnavailable:
        return None
