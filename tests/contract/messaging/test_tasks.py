"""The table of tasks: what may run, who may run it, and what an end changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from harness import World
from receiving import Desk, Effects, login, messages

from usercenter.db import Transaction
from usercenter.events import UserLoggedIn, new_id
from usercenter.messaging import tasks
from usercenter.messaging.groups import Group, outside
from usercenter.messaging.shards import SHARDS
from usercenter.messaging.tasks import Failure, Task

ALL = range(SHARDS)


@pytest.fixture
async def owner(world: World) -> UUID:
    """Who owns every shard."""
    leases = Desk(world).leases()
    await leases.beat()
    return leases.owner


@asynccontextmanager
async def queued(world: World, *users: UUID) -> AsyncIterator[tuple[Transaction, list[int]]]:
    """A task for each of these users, and a transaction to work on them."""
    group = Group("usercenter", "user_events", {UserLoggedIn: (outside(Effects().outside("send")),)})
    await Desk(world).router(group).handle(messages(*[login(user) for user in users]))
    positions = [row[0] for row in await world.rows("select position from tasks order by position")]
    async with world.database.transaction() as tx:
        yield tx, positions


async def _claim_one(tx: Transaction, owner: UUID, position: int) -> Task:
    [task] = await tasks.claim(tx, owner=owner, positions=[position])
    return task


async def test_only_the_head_of_a_lane_can_be_claimed(world: World, owner: UUID) -> None:
    user, other = new_id(), new_id()
    async with queued(world, user, user, other) as (tx, [first, second, third]):
        claimed = await tasks.claim(tx, owner=owner, positions=[third, second, first])

        assert [task.position for task in claimed] == [third, first]
        assert [(task.attempts, task.ended) for task in claimed] == [(1, 0), (1, 0)]


async def test_a_claim_needs_the_lease(world: World, owner: UUID) -> None:
    async with queued(world, new_id()) as (tx, positions):
        assert await tasks.claim(tx, owner=uuid4(), positions=positions) == []
        assert len(await tasks.claim(tx, owner=owner, positions=positions)) == 1


async def test_two_claims_at_once_count_two_attempts(world: World, owner: UUID) -> None:
    async with queued(world, new_id()) as (_, positions):
        pass

    async def claim() -> int:
        async with world.database.transaction() as tx:
            return (await tasks.claim(tx, owner=owner, positions=positions))[0].attempts

    assert sorted(await asyncio.gather(claim(), claim())) == [1, 2]


async def test_what_is_due_leaves_out_other_shards_other_handlers_and_lanes_in_hand(world: World) -> None:
    user, other = new_id(), new_id()

    async with queued(world, user, other) as (tx, [first, second]):

        async def due(**changes: Any) -> list[int]:
            facts = {"handlers": ["send"], "shards": ALL, "beside": [], "limit": 10} | changes
            return [task.position for task in await tasks.due(tx, **facts)]

        assert await due() == [first, second]
        assert await due(limit=1) == [first]
        assert await due(handlers=["other"]) == []
        assert await due(shards=[]) == []
        assert await due(beside=[("send", user)]) == [second]
        assert await due(beside=[("other", user)]) == [first, second]


async def test_a_task_behind_one_that_comes_due_later_tells_when(world: World) -> None:
    user = new_id()
    async with queued(world, user, user, user) as (tx, [first, second, third]):
        await tx.execute("update tasks set next_attempt_at = now() + interval '1 hour' where position = %s", (first,))
        [behind, last] = await tasks.due(tx, handlers=["send"], shards=ALL, beside=[], limit=10)
        later = behind.due_with
        assert (behind.position, last.position, last.due_with) == (second, third, None)
        assert later is not None

        await tasks.postpone(tx, {second: later, third: later})

        assert await tasks.due(tx, handlers=["send"], shards=ALL, beside=[], limit=10) == []


async def test_a_task_tells_in_how_many_of_its_attempts_a_process_has_ended(world: World, owner: UUID) -> None:
    async with queued(world, new_id()) as (tx, [position]):
        for crashes in (1, 0, 1):
            task = await _claim_one(tx, owner, position)
            await tasks.park(tx, [Failure(task, task.attempts, "?", 0, crashes)])

        [waiting] = await tasks.due(tx, handlers=["send"], shards=ALL, beside=[], limit=10)
        [probe] = await tasks.due_of(tx, handler="send", shards=ALL)

        assert waiting.crashes == probe.crashes == 2


async def test_a_failure_parks_the_lane_and_nothing_else(world: World, owner: UUID) -> None:
    user = new_id()
    async with queued(world, user, user, new_id()) as (tx, [first, second, third]):
        task = await _claim_one(tx, owner, first)

        assert await tasks.park(tx, [Failure(task, 1, "away", 60)]) == {first}

        rows = await tx.fetch_all(
            "select position, attempts, ended, last_error, next_attempt_at > now() from tasks order by position"
        )
    assert rows == [(first, 1, 1, "away", True), (second, 0, 0, None, True), (third, 0, 0, None, False)]


async def test_many_failures_are_parked_at_once_each_as_it_failed(world: World, owner: UUID) -> None:
    user, other, third = new_id(), new_id(), new_id()
    async with queued(world, user, other, user, other, third) as (tx, positions):
        one, two = await _claim_one(tx, owner, positions[0]), await _claim_one(tx, owner, positions[1])
        late = two._replace(position=positions[4], attempts=7)
        failures = [Failure(one, 1, "away", 60), Failure(two, 0, None, 0.25, crashes=1), Failure(late, 7, "late", 60)]

        assert await tasks.park(tx, failures) == set(positions[:2])

        rows = await tx.fetch_all(
            "select attempts, last_error, crashes, extract(epoch from next_attempt_at - now())::float8 from tasks "
            "where user_id <> %s order by position",
            (third,),
        )
        assert await tx.fetch_all("select attempts, ended from tasks where user_id = %s", (third,)) == [(0, 0)]
    assert rows == [(1, "away", 0, 60.0), (0, None, 1, 0.25), (0, None, 0, 60.0), (0, None, 0, 0.25)]


async def test_who_is_not_at_the_latest_attempt_changes_nothing(world: World, owner: UUID) -> None:
    async with queued(world, new_id()) as (tx, [position]):
        late = await _claim_one(tx, owner, position)
        await _claim_one(tx, owner, position)

        assert await tasks.park(tx, [Failure(late, 1, "away", 60)]) == set()
        assert not await tasks.bury(tx, late)
        await tasks.give_back(tx, [late])

        assert await tx.fetch_all("select attempts, ended, last_error from tasks") == [(2, 0, None)]


async def test_a_given_back_or_doubtful_claim_does_not_count(world: World, owner: UUID) -> None:
    async with queued(world, new_id()) as (tx, [position]):
        await tasks.give_back(tx, [await _claim_one(tx, owner, position)])
        assert await tx.fetch_all("select attempts from tasks") == [(0,)]

        await _claim_one(tx, owner, position)
        await tasks.unclaim(tx, owner=uuid4(), positions=[position])
        assert await tx.fetch_all("select attempts from tasks") == [(1,)]
        await tasks.unclaim(tx, owner=owner, positions=[position])
        await tasks.unclaim(tx, owner=owner, positions=[position])
        assert await tx.fetch_all("select attempts from tasks") == [(0,)]


async def test_a_task_keeps_the_key_of_its_message(world: World, owner: UUID) -> None:
    group = Group("usercenter", "user_events", {UserLoggedIn: (outside(Effects().outside("send")),)})
    [message] = messages(login())
    await Desk(world).router(group).handle([message._replace(key=b"\xff not its user")])

    async with world.database.transaction() as tx:
        task = await _claim_one(tx, owner, await world.value("select position from tasks"))

    assert task.key == b"\xff not its user"


async def test_finishing_twice_is_harmless(world: World) -> None:
    async with queued(world, new_id()) as (tx, positions):
        assert await tasks.finish(tx, positions) == 1
        assert await tasks.finish(tx, positions) == 0


async def test_tasks_are_counted_by_handler_and_state(world: World, owner: UUID) -> None:
    user = new_id()
    async with queued(world, user, user, new_id()) as (tx, [first, *_]):
        await tasks.park(tx, [Failure(await _claim_one(tx, owner, first), 1, "away", 60)])

        assert sorted(await tasks.counts(tx)) == [("send", False, 1), ("send", True, 2)]
