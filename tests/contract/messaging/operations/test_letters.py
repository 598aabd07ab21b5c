"""Retry and discard: each letter once, at its place, whoever else works on it."""

import asyncio
import json

import pytest
from harness import eventually
from receiving import Schedule, login, message, messages, update

from usercenter.db import Transaction
from usercenter.events import encode, new_id
from usercenter.messaging import dead_letters, inbox, outbox
from usercenter.messaging.groups import PermanentFailure, outside, record
from usercenter.messaging.operations import audit, letter_queries, letters
from usercenter.messaging.operations.selection import Filter
from usercenter.messaging.outbox import Row
from usercenter.messaging.shards import SHARDS, shard_of


async def _outbox(office) -> list[Row]:
    async with office.world.database.transaction() as tx:
        return await outbox.waiting(tx.fetch_all, shards=range(SHARDS), beside=[], held_keys=[], limit=100)


async def test_a_users_lane_is_redone_in_its_order_while_new_events_arrive(office) -> None:
    user = new_id()
    group = office.of_logins(outside(office.done.outside("send")))
    old, new = [login(user) for _ in range(20)], [login(user) for _ in range(20)]
    await office.die(group, *old)
    await office.router(group).handle(messages(*new[:10]))  # they wait: nobody is at work

    result = await letters.retry(
        office.database, await office.select(user=user), returns=office.returns(group), by="ops"
    )
    async with office.running(group):
        await office.router(group).handle(messages(*new[10:]))
        await office.eventually_tasks(0)

    assert result.done == 20
    assert office.done.called(*old, *new) == [event.id for event in [*old, *new]]
    assert await office.world.value("select count(*) from dead_letters where settled_at is null") == 0


async def test_a_letter_comes_back_in_front_of_what_is_parked_behind_it(office) -> None:
    user = new_id()
    group = office.of_logins(outside(office.done.outside("send")))
    first, second = login(user), login(user)
    office.done.fails = lambda handler, event: PermanentFailure("never") if event.id == first.id else OSError("away")
    await office.router(group).handle(messages(first, second))
    async with office.running(group, schedule=Schedule(attempts=1_000, first_seconds=0.2, longest_seconds=0.2)):
        await eventually(
            lambda: office.world.value("select count(*) from tasks where last_error is not null"),
            what="the second one parked",
        )

    await letters.retry(office.database, await office.select(), returns=office.returns(group), by="ops")
    office.mended()
    await office.all_done(group)

    assert office.done.called(first, second) == [first.id, second.id]


async def test_two_retries_at_once_do_nothing_twice(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")), record(office.done.record("write")))
    events = [login() for _ in range(120)]
    await office.die(group, *events)
    selection = await office.select()

    results = await asyncio.gather(
        *(letters.retry(office.database, selection, returns=office.returns(group), by=f"ops {n}") for n in range(3))
    )
    await office.all_done(group)
    again = await letters.retry(office.database, selection, returns=office.returns(group), by="ops")

    assert sum(result.done for result in results) == 240 == selection.count
    assert (again.done, again.gone) == (0, 240)
    assert sorted(office.done.called(*events)) == sorted(event.id for event in events)
    assert sorted(await office.effects("write")) == sorted(event.id for event in events)


async def test_a_retried_letter_begins_anew_and_keeps_its_headers(office) -> None:
    group = office.of_logins(record(office.done.record("write")))
    event = login()
    await office.die(group, event)

    result = await letters.retry(office.database, await office.select(), returns=office.returns(group), by="ops")

    [(attempts, ended, error, event_id, shard, headers, when)] = await office.world.rows(
        "select attempts, ended, last_error, event_id, shard, headers, occurred_at from tasks"
    )
    assert (attempts, ended, error, event_id, shard) == (0, 0, None, event.id, shard_of(event.user_id))
    assert headers["ce_id"] == str(event.id)
    assert when == event.occurred_at
    assert await office.world.rows("select settled_how, operation_id::text from dead_letters") == [
        ("retried", result.operation_id)
    ]


async def test_a_letter_whose_message_was_a_structured_cloudevent_comes_back_in_our_form(office) -> None:
    group = office.of_logins(record(office.done.record("write")))
    event = login()
    structured = {
        "specversion": "1.0", "id": str(event.id), "source": "elsewhere", "type": event.type,
        "time": event.timestamp.isoformat(), "subject": str(event.user_id), "datacontenttype": "application/json",
        "data": json.loads(encode(event)),
    }  # fmt: skip
    office.breaks()
    headers = {"content-type": "application/cloudevents+json"}
    await office.router(group).handle([message(value=json.dumps(structured).encode(), headers=headers)])
    office.mended()
    assert await office.world.value("select handler from dead_letters") == "write"

    await letters.retry(office.database, await office.select(), returns=office.returns(group), by="ops")
    assert await office.world.value("select occurred_at from tasks") == event.timestamp
    await office.all_done(group)

    assert await office.effects("write") == [event.id]


async def test_letters_without_a_task_come_back_in_the_order_of_their_offsets(office) -> None:
    user = new_id()
    group = office.of_logins(record(office.done.record("write")))
    events = [login(user) for _ in range(9)]
    await office.die(group, *events)

    await letters.retry(office.database, await office.select(), returns=office.returns(group), by="ops")
    await office.all_done(group)

    assert await office.effects("write") == [event.id for event in events]


async def test_a_letter_that_dies_again_is_a_new_letter_at_the_same_place(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")))
    await office.die(group, login())
    office.breaks()

    await letters.retry(office.database, await office.select(), returns=office.returns(group), by="ops")
    await office.all_done(group)

    rows = await office.world.rows("select settled_how, task_position from dead_letters order by id")
    assert [row[0] for row in rows] == ["retried", None]
    assert rows[0][1] == rows[1][1]


class TestLettersThatNobodyCouldRead:
    async def test_todays_code_reads_them_and_every_handler_of_the_group_gets_its_task(self, office) -> None:
        group = office.of_logins(
            record(office.done.record("write")),
            outside(office.done.outside("send")),
            outside(office.done.outside("tell"), lanes=_two_lanes),
        )
        event = login()
        await office.router(group).handle([message(value=b"broken"), message(value=b"broken too")])
        await _mend_the_bytes(office, encode(event), 1)

        result = await letters.retry(office.database, await office.select(), returns=office.returns(group), by="ops")
        tasks = await office.world.rows("select handler from tasks order by 1")
        await office.all_done(group)

        assert [row[0] for row in tasks] == ["send", "tell/a", "tell/b", "write"]
        assert (result.done, [each.count for each in result.refused]) == (1, [1])
        assert "still cannot be read" in result.refused[0].reason
        assert await office.effects("write") == [event.id]
        assert office.done.calls.count(("send", event.id)) == 1
        assert await office.world.value("select count(*) from dead_letters where settled_at is null") == 1

    async def test_an_event_that_the_group_has_handled_in_the_meantime_is_not_handled_again(self, office) -> None:
        group = office.of_logins(record(office.done.record("write")))
        event = login()
        await office.router(group).handle([message(value=b"broken")])
        await office.router(group).handle(messages(event))  # the producer has sent it again, whole
        await _mend_the_bytes(office, encode(event), 1)

        await letters.retry(office.database, await office.select(), returns=office.returns(group), by="ops")

        assert await office.world.count("tasks") == 0
        assert await office.effects("write") == [event.id]
        assert await office.world.value("select settled_how from dead_letters") == "retried"

    async def test_one_whose_lanes_cannot_be_found_stays_and_was_never_admitted(self, office) -> None:
        group = office.of_logins(outside(office.done.outside("tell"), lanes=_no_lanes))
        event = login()
        await office.router(office.of_logins()).handle([message(value=b"broken")])
        await _mend_the_bytes(office, encode(event), 1)

        result = await letters.retry(office.database, await office.select(), returns=office.returns(group), by="ops")

        assert [each.reason for each in result.refused] == ["LookupError: no such receiver"]
        async with office.world.database.transaction() as tx:
            assert await inbox.admit(tx, "usercenter", [event.id]) == {event.id}

    async def test_a_type_that_nobody_handles_stays_a_letter(self, office) -> None:
        group = office.of_logins(record(office.done.record("write")))
        await office.router(group).handle([message(value=b"broken")])
        await _mend_the_bytes(office, encode(update(new_id())), 1)

        result = await letters.retry(office.database, await office.select(), returns=office.returns(group), by="ops")

        assert "nobody in usercenter handles this type" in result.refused[0].reason


class TestLettersThatKafkaRefused:
    async def test_they_go_into_the_outbox_again(self, office) -> None:
        async with office.world.database.transaction() as tx:
            await outbox.add(tx, event := login())
        [row] = await _outbox(office)
        async with office.world.database.transaction() as tx:
            await outbox.remove(tx, [row.position])
            await dead_letters.add_unsendable(tx, row, topic="user.events", error="too large")

        for _ in range(2):
            await letters.retry(office.database, await office.select(), returns=office.returns(), by="ops")

        [again] = await _outbox(office)
        assert again._replace(position=0) == row._replace(position=0)
        assert again.shard == shard_of(event.user_id)

    async def test_a_topic_that_is_configured_no_more_is_named(self, office) -> None:
        row = Row(1, 0, "old", "key", "x.y", b"{}", {})
        async with office.world.database.transaction() as tx:
            await dead_letters.add_unsendable(tx, row, topic="old.topic", error="too large")

        result = await letters.retry(office.database, await office.select(), returns=office.returns(), by="ops")

        assert "no topic old.topic" in result.refused[0].reason


async def test_a_handler_that_is_gone_keeps_its_letters(office) -> None:
    await office.die(office.of_logins(outside(office.done.outside("send"))), login())

    result = await letters.retry(office.database, await office.select(), returns=office.returns(), by="ops")

    assert "has no handler send" in result.refused[0].reason
    assert await office.world.count("tasks") == 0


async def test_the_letter_of_a_deleted_user_stays_what_it_is(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")))
    await office.die(group, login())
    await _execute(office, "update dead_letters set value = null, error = 'erased'")

    result = await letters.retry(office.database, await office.select(), returns=office.returns(group), by="ops")

    assert "data purged" in result.refused[0].reason


async def test_a_selection_is_frozen(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")))
    before, after = login(), login()
    await office.die(group, before, gone := login())
    selection = await office.select()
    await _execute(office, "update dead_letters set settled_at = now() where event_id = %s", gone.id)
    await office.die(group, after)

    result = await letters.retry(office.database, selection, returns=office.returns(group), by="ops")

    assert (result.selected, result.done, result.gone) == (2, 1, 1)
    assert await office.world.rows("select event_id from tasks") == [(before.id,)]


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({}, 2),
        ({"handler": "send"}, 1),
        ({"type": "user.updated"}, 0),
        ({"cause": "PermanentFailure"}, 2),
        ({"cause": "OSError"}, 0),
    ],
)
async def test_a_filter_chooses(office, facts, found) -> None:
    group = office.of_logins(outside(office.done.outside("send")), record(office.done.record("write")))
    await office.die(group, login())

    assert (await office.select(**facts)).count == found


async def test_the_letters_of_one_fingerprint_are_one_cause(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")))
    office.done.fails = lambda handler, event: PermanentFailure(f"no address for {event.user_id}")
    await office.router(group).handle(messages(login(), login()))
    await office.all_done(group)

    async with office.world.database.transaction() as tx:
        [cause] = await letter_queries.causes(tx, Filter(), limit=10)

    assert (cause.handler, cause.count, cause.event_type, len(cause.cause)) == ("send", 2, "user.logged_in", 12)
    assert (await office.select(cause=cause.cause)).count == 2


async def test_discarding_keeps_the_row_with_who_and_why(office) -> None:
    await office.die(office.of_logins(outside(office.done.outside("send"))), login(), login())
    before = await office.world.rows("select id, value, headers::text, error, key from dead_letters order by id")

    result = await letters.discard(office.database, await office.select("discard"), by="ada@desk", reason="test data")

    assert result.done == 2
    after = await office.world.rows("select id, value, headers::text, error, key from dead_letters order by id")
    assert after == before
    assert await office.world.rows("select distinct settled_how, settled_at is not null from dead_letters") == [
        ("discarded", True)
    ]
    async with office.world.database.transaction() as tx:
        [operation] = await audit.latest(tx)
    assert (operation.kind, operation.by, operation.reason) == ("letters.discard", "ada@desk", "test data")
    assert (operation.state, operation.counts) == ("done", {"discarded": 2})


async def test_an_interrupted_retry_says_so_and_the_next_one_does_the_rest(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")))
    events = [login() for _ in range(500)]
    await office.die(group, *events)
    selection = await office.select()
    work = asyncio.create_task(letters.retry(office.database, selection, returns=office.returns(group), by="ops"))
    await eventually(lambda: office.world.count("tasks"), what="the first of them")
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    interrupted = work.cancelled()

    await letters.retry(office.database, selection, returns=office.returns(group), by="ops")
    await office.all_done(group)

    assert sorted(office.done.called(*events)) == sorted(event.id for event in events)
    states = [row[0] for row in await office.world.rows("select state from operations order by started_at")]
    assert states == ["stopped" if interrupted else "done", "done"]


async def _two_lanes(events, tx: Transaction, context) -> dict:
    return {event.id: ["a", "b"] for event in events}


async def _no_lanes(events, tx: Transaction, context) -> dict:
    raise LookupError("no such receiver")


async def _mend_the_bytes(office, value: bytes, id_: int) -> None:
    """As if today's code could read them."""
    await _execute(office, "update dead_letters set value = %s where id = %s", value, id_)


async def _execute(office, query, *parameters) -> None:
    async with office.world.database.transaction() as tx:
        await tx.execute(query, parameters)
