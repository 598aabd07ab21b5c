"""The outbox: a message is there if the change was committed, and never if it was not."""

from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from harness import World
from wire import logged_in, raw, registered

from usercenter.db import Transaction
from usercenter.events import encode, headers_of
from usercenter.messaging import outbox
from usercenter.messaging.shards import SHARDS, shard_of


async def test_an_event_is_kept_for_the_relay_and_for_good(world: World) -> None:
    event = registered(uuid4())
    async with world.database.transaction() as tx:
        await outbox.add(tx, event)

    rows = await world.rows("select id, aggregatetype, aggregateid, type, payload, headers, shard from outbox")
    assert rows == [
        (
            event.id,
            "user_events",
            str(event.user_id),
            "user.registered",
            encode(event),
            headers_of(event),
            shard_of(event.user_id),
        )
    ]
    log = await world.rows("select user_id, sequence, id, type from event_log")
    assert log == [(event.user_id, 1, event.id, "user.registered")]


async def test_a_change_that_is_undone_leaves_no_message_and_wakes_nobody(world: World) -> None:
    async def change() -> None:
        async with world.database.transaction() as tx:
            await outbox.add(tx, registered(uuid4()))
            raise RuntimeError("undone")

    with pytest.raises(RuntimeError):
        await change()
    assert await world.count("outbox") == await world.count("event_log") == 0
    assert not await world.database.signal(outbox.SIGNAL).wait(0)


async def test_the_relay_of_the_process_is_woken_after_the_commit(world: World) -> None:
    async with world.database.transaction() as tx:
        await outbox.add(tx, registered(uuid4()))
        assert not await world.database.signal(outbox.SIGNAL).wait(0)
    assert await world.database.signal(outbox.SIGNAL).wait(0)


MARK = """
changed as (
    insert into users (id, username, username_key, email, email_key, password_hash, sequence, created_at, updated_at)
    values (%(id)s, %(name)s, %(name)s, %(name)s, %(name)s, '', 1, now(), now()) on conflict do nothing returning id
)
"""


async def test_a_change_and_its_event_are_one_statement_and_wake_the_relay(world: World) -> None:
    event = registered(uuid4())
    async with world.database.at_once() as tx:
        changed = await outbox.add_with(tx, MARK, {"id": event.user_id, "name": "ada"}, event)

    assert changed == (event.user_id,)
    assert await world.rows("select id, aggregateid, payload, headers, shard from outbox") == [
        (event.id, str(event.user_id), encode(event), headers_of(event), shard_of(event.user_id))
    ]
    log = await world.rows("select user_id, sequence, id, type from event_log")
    assert log == [(event.user_id, 1, event.id, "user.registered")]
    assert await world.database.signal(outbox.SIGNAL).wait(0)


async def test_without_the_change_there_is_no_event_and_nobody_is_woken(world: World) -> None:
    async with world.database.at_once() as tx:
        event = registered(uuid4())
        await outbox.add_with(tx, MARK, {"id": event.user_id, "name": "ada"}, event)
    await world.database.signal(outbox.SIGNAL).wait(0)

    async with world.database.at_once() as tx:
        event = registered(uuid4())
        assert await outbox.add_with(tx, MARK, {"id": event.user_id, "name": "ada"}, event) is None

    assert await world.count("users") == await world.count("outbox") == await world.count("event_log") == 1
    assert not await world.database.signal(outbox.SIGNAL).wait(0)


async def test_an_event_that_cannot_be_kept_undoes_its_change(world: World) -> None:
    async with world.database.transaction() as tx:
        event = registered(uuid4())
        await outbox.add(tx, event)

    async def change() -> None:
        async with world.database.at_once() as tx:
            await outbox.add_with(tx, MARK, {"id": event.user_id, "name": "ada"}, event)

    with pytest.raises(psycopg.errors.UniqueViolation):
        await change()
    assert await world.count("users") == 0


async def test_what_a_savepoint_takes_back_wakes_nobody(world: World) -> None:
    async def part(tx: Transaction) -> None:
        async with tx.savepoint():
            await outbox.add(tx, registered(uuid4()))
            await tx.execute("select 1 / 0")

    async with world.database.transaction() as tx:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await part(tx)
    assert await world.count("outbox") == 0
    assert not await world.database.signal(outbox.SIGNAL).wait(0)


async def test_events_are_read_in_the_order_of_the_calls(world: World) -> None:
    user = uuid4()
    async with world.database.transaction() as tx:
        await outbox.add(tx, *(logged_in(user, sequence) for sequence in range(1, 451)))
        await outbox.add(tx, logged_in(user, 451))
        rows = await outbox.waiting(tx.fetch_all, shards=range(SHARDS), beside=[], held_keys=[], limit=1_000)
    assert [row.headers["ce_sequence"] for row in rows] == [str(number) for number in range(1, 452)]


async def test_the_same_sequence_twice_is_refused(world: World) -> None:
    user = uuid4()
    with pytest.raises(psycopg.errors.UniqueViolation):
        async with world.database.transaction() as tx:
            await outbox.add(tx, registered(user), logged_in(user, 1))
    assert await world.count("outbox") == 0


async def test_nothing_to_add_is_no_error(world: World) -> None:
    async with world.database.transaction() as tx:
        await outbox.add(tx)
        await outbox.add_raw(tx, [])
    assert await world.count("outbox") == 0


async def test_rows_in_hand_on_hold_or_of_other_shards_are_not_read(world: World) -> None:
    messages = [raw(key, key.encode()) for key in ("in hand", "held", "of another shard", "free")]
    messages[2] = messages[2]._replace(shard=(messages[3].shard + 1) % SHARDS)
    messages[0], messages[1] = (each._replace(shard=messages[3].shard) for each in messages[:2])
    async with world.database.transaction() as tx:
        await outbox.add_raw(tx, messages)
        (first, *_) = await outbox.waiting(tx.fetch_all, shards=[messages[3].shard], beside=[], held_keys=[], limit=1)
        rows = await outbox.waiting(
            tx.fetch_all, shards=[messages[3].shard], beside=[first.position], held_keys=["held"], limit=10
        )
    assert first.key == "in hand"
    assert [row.key for row in rows] == ["free"]


async def test_a_removed_row_is_gone_and_removing_it_again_says_so(world: World) -> None:
    async with world.database.transaction() as tx:
        await outbox.add_raw(tx, [raw("a", b"1"), raw("a", b"2")])
        rows = await outbox.waiting(tx.fetch_all, shards=range(SHARDS), beside=[], held_keys=[], limit=10)
        positions = [row.position for row in rows]
        assert await outbox.remove(tx, positions[:1]) == 1
        assert await outbox.remove(tx, positions) == 1


async def test_depth_and_age_are_those_of_what_waits(world: World) -> None:
    async with world.database.transaction() as tx:
        assert await outbox.depth(tx) == (0, None)
        await outbox.add_raw(tx, [raw("a", b"1"), raw("a", b"2")])
        number, oldest = await outbox.depth(tx)
    assert number == 2
    assert oldest is not None
    assert 0 <= (datetime.now(UTC) - oldest).total_seconds() < 10
