"""A large batch is handled in parts, each in a transaction of its own, and is still done whole or done again."""

import asyncio
import contextlib
from collections.abc import Sequence
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
import pytest
from harness import World
from msgspec.structs import replace
from receiving import TOPIC, Desk, Effects, Trouble, login, message, messages

from usercenter.db import DatabaseUnavailable, Transaction
from usercenter.events import Event, UserLoggedIn, new_id
from usercenter.messaging.begun import Mark
from usercenter.messaging.groups import Context, Group, PermanentFailure, outside, record


@pytest.fixture
async def desk(world: World) -> Desk:
    desk = Desk(world)
    await desk.open()
    return desk


@pytest.fixture
def effects() -> Effects:
    return Effects()


def of_logins(*handlers: Any) -> Group:
    return Group("usercenter", "user_events", {UserLoggedIn: handlers})


def batch_of(users: int, each: int) -> list[UserLoggedIn]:
    """Logins of so many users in turns; half of the users are in each part."""
    ids = [UUID(int=new_id().int & ~1 | number % 2) for number in range(users)]
    return [login(user) for _ in range(each) for user in ids]


async def open_marks(desk: Desk) -> list[Mark]:
    rows = await desk.world.rows(
        "select topic, kafka_partition, first_offset, last_offset, attempts from batches_begun where attempts > 0"
    )
    return [Mark(*row) for row in rows]


async def test_two_transactions_are_under_way_at_once_each_with_whole_users_in_order(
    desk: Desk, effects: Effects
) -> None:
    both, inside = asyncio.Barrier(2), effects.record("write")

    async def write(events: Sequence[Event], tx: Transaction, context: Context) -> None:
        async with asyncio.timeout(10):
            await both.wait()
        await inside(events, tx, context)

    events = batch_of(users=20, each=10)
    await desk.router(of_logins(record(write))).handle(messages(*events))

    assert effects.sizes == [100, 100]
    rows = await desk.world.rows("select user_id, event_id, xmin::text from effects order by n")
    assert len({transaction for _, _, transaction in rows}) == 2
    for user in {event.user_id for event in events}:
        assert [row[1] for row in rows if row[0] == user] == [event.id for event in events if event.user_id == user]
        assert len({row[2] for row in rows if row[0] == user}) == 1
    assert await open_marks(desk) == []


async def test_one_transaction_keeps_every_batch_whole(desk: Desk, effects: Effects) -> None:
    kafka = desk.config.kafka
    consumer = replace(kafka.consumer, transactions=1)
    desk.config = replace(desk.config, kafka=replace(kafka, consumer=consumer))

    await desk.router(of_logins(record(effects.record("write")))).handle(messages(*batch_of(20, 10)))

    assert effects.sizes == [200]


async def test_whenever_the_database_is_lost_the_repetition_makes_each_effect_once(
    desk: Desk, effects: Effects
) -> None:
    group = of_logins(record(effects.record("write")), outside(effects.outside("send")))
    for broken_step in count(1):
        trouble = Trouble(lambda step, broken=broken_step: step == broken)
        router = desk.with_trouble(trouble).router(group, least_messages=1)
        events = batch_of(users=2, each=2)
        batch, was_lost = messages(*events), False

        for attempt in range(3):
            with contextlib.suppress(DatabaseUnavailable, psycopg.OperationalError):
                await router.handle(batch)
                was_lost = attempt > 0
                break

        for event in events:
            assert await desk.effects("write", event) == [event.id]
        assert await desk.world.count("tasks") == broken_step * len(events)
        assert await open_marks(desk) == []
        if not was_lost:
            break
    assert broken_step > 10


async def test_an_event_that_fails_is_left_to_the_runner_alone_and_the_other_part_keeps_its_effects(
    desk: Desk, effects: Effects
) -> None:
    events = batch_of(users=20, each=10)
    effects.fails = lambda handler, event: ValueError("a bug") if event.id == events[7].id else None

    await desk.router(of_logins(record(effects.record("write")))).handle(messages(*events))

    behind = [event.id for event in events[7:] if event.user_id == events[7].user_id]
    assert await desk.world.count("effects") == len(events) - len(behind)
    rows = await desk.world.rows("select event_id from tasks order by position")
    assert [row[0] for row in rows] == behind
    assert await open_marks(desk) == []


async def test_the_limits_count_what_failed_in_either_part(desk: Desk, effects: Effects) -> None:
    desk.config = replace(desk.config, limits=replace(desk.config.limits, dead_in_a_row=150, window_events=10_000))
    effects.fails = lambda handler, event: PermanentFailure("no")

    await desk.router(of_logins(record(effects.record("write")))).handle(messages(*batch_of(20, 10)))

    assert await desk.world.count("dead_letters") == 200
    [(reason,)] = await desk.world.rows("select reason from group_stops")
    assert "dead letters in a row" in reason


async def test_the_mark_of_a_batch_stays_open_until_its_last_part_is_committed(desk: Desk, effects: Effects) -> None:
    may_go_on, inside = asyncio.Event(), effects.record("write")

    async def write(events: Sequence[Event], tx: Transaction, context: Context) -> None:
        tx.wake_after_commit("written")
        if events[0].user_id.int % 2:
            await may_go_on.wait()
        await inside(events, tx, context)

    batch = [message(event, offset=offset) for offset, event in enumerate(batch_of(users=2, each=1))]
    handling = asyncio.create_task(desk.router(of_logins(record(write)), least_messages=1).handle(batch))

    assert await desk.database.signal("written").wait(10)
    assert await desk.world.count("effects") == 1
    assert await open_marks(desk) == [Mark(TOPIC, 0, 0, 1, 1)]
    may_go_on.set()
    await handling
    assert await desk.world.count("effects") == 2
    assert await open_marks(desk) == []
