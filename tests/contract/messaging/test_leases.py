"""Leases: every shard has one owner, owners have fair shares, and whoever is not heard of loses his."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from harness import World, eventually
from wire import database_away

from usercenter.clock import HeldClock, SystemClock
from usercenter.messaging.leases import Leases
from usercenter.messaging.shards import SHARDS
from usercenter.metrics import Metrics


def owner(world: World, *, clock: Any = None, lease_seconds: float = 30) -> Leases:
    """One process's leases, beaten by the test."""
    return Leases(
        "test",
        database=world.database,
        clock=clock or SystemClock(),
        metrics=Metrics(),
        lease_seconds=lease_seconds,
    )


async def beat(owners: Sequence[Leases], times: int = 4) -> None:
    for _ in range(times):
        for each in owners:
            await each.beat()


async def shares(world: World, owners: Sequence[Leases]) -> list[int]:
    """How many shards each owns, after making sure that all agree with the table and that none is owned twice."""
    rows = await world.rows("select owner, array_agg(shard order by shard) from leases group by owner")
    table = {name: set(shards) for name, shards in rows if name is not None}
    assert {each.owner: set(each.owned()) for each in owners if each.owned()} == table
    return sorted(len(each.owned()) for each in owners)


async def test_one_owner_has_all_three_share_and_the_last_one_has_all_again(world: World) -> None:
    first, second, third = (owner(world) for _ in range(3))
    await beat([first])
    assert await shares(world, [first]) == [SHARDS]

    await beat([first, second, third])
    assert await shares(world, [first, second, third]) == [20, 22, 22]

    await first.release()
    await second.release()
    assert first.owned() == second.owned() == frozenset()
    await beat([third], times=1)
    assert await shares(world, [third]) == [SHARDS]


async def test_owners_that_begin_at_the_same_moment_end_with_fair_shares(world: World) -> None:
    owners = [owner(world) for _ in range(4)]
    for _ in range(4):
        await asyncio.gather(*(each.beat() for each in owners))
    assert await shares(world, owners) == [16, 16, 16, 16]


async def test_the_shards_of_an_owner_that_is_not_heard_of_are_taken_when_its_lease_has_run_out(world: World) -> None:
    dead, living = owner(world, lease_seconds=0.5), owner(world)
    await beat([dead])
    await living.beat()
    assert living.owned() == frozenset()

    async def taken() -> int:
        await living.beat()
        return len(living.owned())

    await eventually(taken, lambda number: number == SHARDS, what="the take-over")
    assert dead.owned() == frozenset()


async def test_every_taking_raises_the_epoch(world: World) -> None:
    first, second = owner(world), owner(world)
    await beat([first])
    assert await epochs(world) == {1}
    await first.beat()
    assert await epochs(world) == {1}
    await first.release()
    await second.beat()
    assert await epochs(world) == {2}


async def test_an_owner_that_was_frozen_stops_trusting_itself_before_others_may_take_over(world: World) -> None:
    clock = HeldClock(datetime(2026, 1, 1, tzinfo=UTC))
    frozen = owner(world, clock=clock, lease_seconds=10)
    await frozen.beat()
    clock.advance(timedelta(seconds=7.9))
    assert len(frozen.owned()) == SHARDS
    clock.advance(timedelta(seconds=0.2))
    assert frozen.owned() == frozenset()
    await frozen.beat()
    assert len(frozen.owned()) == SHARDS


async def test_trust_is_counted_from_before_the_heartbeat_was_sent(world: World) -> None:
    clock = HeldClock(datetime(2026, 1, 1, tzinfo=UTC))
    slow = owner(world, clock=clock, lease_seconds=10)
    async with world.database.transaction() as tx:
        await tx.execute("lock table lease_owners in access exclusive mode")
        beating = asyncio.create_task(slow.beat())
        await eventually(lambda: waits_for_lock(world), what="the heartbeat behind the lock")
        clock.advance(timedelta(seconds=9))
    await beating
    assert slow.owned() == frozenset()


async def test_a_shard_with_work_in_hand_is_let_go_when_that_is_done_and_gets_no_new_work_meanwhile(
    world: World,
) -> None:
    first, second = owner(world), owner(world)
    busy = {SHARDS - 1, 0}
    first.finish_before_release(lambda: busy)
    await beat([first])
    await beat([second, first, second])

    assert SHARDS - 1 not in first.owned()
    assert SHARDS - 1 not in second.owned()
    assert 0 in first.owned()

    busy.clear()
    await beat([first, second])
    assert SHARDS - 1 in second.owned()
    assert await shares(world, [first, second]) == [SHARDS // 2, SHARDS // 2]


async def test_two_kinds_of_work_are_leased_apart(world: World) -> None:
    mine = owner(world)
    other = Leases("other", database=world.database, clock=SystemClock(), metrics=Metrics(), lease_seconds=30)
    await beat([mine, other], times=2)
    assert len(mine.owned()) == len(other.owned()) == SHARDS


async def test_the_heartbeat_survives_an_absent_database(world: World) -> None:
    keeper = owner(world, lease_seconds=2)
    keeping = asyncio.create_task(keeper.keep())
    try:
        await eventually(lambda: len(keeper.owned()), lambda number: number == SHARDS, what="the shards")
        async with database_away(world):
            await eventually(lambda: not keeper.owned(), what="the end of trust")
        await eventually(lambda: len(keeper.owned()), lambda number: number == SHARDS, what="the shards again")
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])


async def epochs(world: World) -> set[int]:
    return {row[0] for row in await world.rows("select epoch from leases")}


async def waits_for_lock(world: World) -> bool:
    return bool(await world.value("select exists (select 1 from pg_locks where not granted)"))
