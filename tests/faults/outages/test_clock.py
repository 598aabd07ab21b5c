"""F11: the clock of a process or of PostgreSQL jumps by an hour; order, leases and effects do not depend on it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from faults.front import ready
from faults.ledger import check
from faults.load import Clients
from faults.report import Figures
from harness import World, eventually

from usercenter import bootstrap
from usercenter.clock import SystemClock
from usercenter.messaging.leases import Leases
from usercenter.metrics import Metrics

pytestmark = pytest.mark.fault("F11")
HOUR = timedelta(hours=1)


class JumpingClock(SystemClock):
    """The machine's clock, wrong by `off`; durations are right, as they are on a machine whose clock is set."""

    def __init__(self) -> None:
        self.off = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.off


async def test_clocks_that_jump_an_hour_back_and_forth_lose_double_and_reorder_nothing(
    world: World, clients: Callable[..., Clients], file: Path, figures: Figures
) -> None:
    clock = JumpingClock()
    async with bootstrap.running(world.config, clock=clock) as service:
        async with httpx.AsyncClient(base_url=service.url) as client:
            await ready(client)
        await eventually(service.is_reading, what="the consumers")
        load = clients(lambda: [service.url])
        for off in (timedelta(), HOUR, -HOUR, timedelta()):
            clock.off = off
            await load.work(15)
        shards = await world.value("select count(*) from leases where owner is not null")
        # a deletion that seems to wait for an hour is looked at again in a minute
        tally = await check(world, file, timeout_seconds=120)

    assert shards == 128  # of the relay and of the tasks: none was lost on the way
    figures.note("a process's clock jumps by an hour, there and back, three times", tally=tally)


async def test_a_token_of_a_clock_that_runs_ahead_is_judged_by_the_clock_that_reads_it(world: World) -> None:
    clock = JumpingClock()
    clock.off = HOUR
    async with (
        bootstrap.running(world.config, roles=["api"], clock=clock) as service,
        httpx.AsyncClient(base_url=service.url) as client,
    ):
        await ready(client)
        answer = await client.post("/api/v1/users/register", json=world.registration("ada"))
        headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 200
        clock.off = HOUR * 12
        late = await client.get("/api/v1/users/me", headers=headers)

    assert (late.status_code, late.json()["error"]) == (401, "token_invalid")


async def test_the_shards_of_a_dead_owner_are_taken_although_postgresqls_clock_has_jumped_back(world: World) -> None:
    dead, heir = leases_of(world), leases_of(world)
    await dead.beat()
    assert len(dead.owned()) == 64
    await jump_of_postgresql(world, by=-HOUR)  # and the owner is never heard of again
    await eventually(lambda: beaten(heir), lambda owned: len(owned) == 64, what="the shards", timeout_seconds=10)


async def test_the_shards_of_a_living_owner_stay_when_postgresqls_clock_jumps_back(world: World) -> None:
    alive, other = leases_of(world), leases_of(world)
    await alive.beat()
    await jump_of_postgresql(world, by=-HOUR)
    await alive.beat()
    await other.beat()
    await alive.beat()
    await other.beat()

    assert len(alive.owned()) == len(other.owned()) == 32
    assert not alive.owned() & other.owned()


async def test_when_postgresqls_clock_jumps_ahead_leases_run_out_and_each_shard_has_one_owner_again(
    world: World,
) -> None:
    first, second = leases_of(world), leases_of(world)
    await first.beat()
    await jump_of_postgresql(world, by=HOUR)
    await second.beat()
    assert len(second.owned()) == 64
    for each in (first, second, first, second):
        await each.beat()

    assert len(first.owned()) == len(second.owned()) == 32
    assert not first.owned() & second.owned()


def leases_of(world: World) -> Leases:
    """An owner of relay shards, with a lease of two seconds."""
    return Leases("relay", database=world.database, clock=SystemClock(), metrics=Metrics(), lease_seconds=2)


async def beaten(leases: Leases) -> Any:
    """What it owns after one more heartbeat."""
    await leases.beat()
    return leases.owned()


async def jump_of_postgresql(world: World, *, by: timedelta) -> None:
    """What the tables look like when the server's clock has jumped: everything in them is as much earlier or later."""
    async with world.database.transaction() as tx:
        await tx.execute("update lease_owners set expires_at = expires_at - %s", (by,))
