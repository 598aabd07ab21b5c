"""A batch through the router: every effect once, whatever is in it and whatever goes wrong."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Sequence
from itertools import count

import msgspec
import psycopg
import pytest
from harness import World
from receiving import TOPIC, Desk, Effects, Trouble, login, message, messages, update

from usercenter.db import DatabaseUnavailable, Transaction
from usercenter.events import Event, UserLoggedIn, UserUpdated, encode, new_id
from usercenter.messaging.batch import Received
from usercenter.messaging.groups import Context, Group, PermanentFailure, Schedule, outside, record


@pytest.fixture
async def desk(world: World) -> Desk:
    desk = Desk(world)
    await desk.open()
    return desk


@pytest.fixture
def effects() -> Effects:
    return Effects()


@pytest.fixture
def group(effects: Effects) -> Group:
    """Two record handlers and an outside one on logins; the first one on updates too."""
    first = record(effects.record("first"))
    return Group(
        "usercenter",
        "user_events",
        {
            UserLoggedIn: (first, record(effects.record("second")), outside(effects.outside("send"))),
            UserUpdated: (first,),
        },
    )


class TestOnce:
    async def test_a_batch_that_comes_twice_has_each_effect_once(self, desk: Desk, group: Group) -> None:
        batch = messages(*[login() for _ in range(20)])
        router = desk.router(group)

        await router.handle(batch)
        await router.handle(batch)

        assert len(await desk.effects("first")) == len(await desk.effects("second")) == 20
        assert await desk.world.count("tasks") == 20

    async def test_one_event_twice_in_one_batch_has_its_effect_once(self, desk: Desk, group: Group) -> None:
        event = login()

        await desk.router(group).handle([message(event), message(event)])

        assert await desk.effects("first") == [event.id]
        assert await desk.world.count("tasks") == 1

    async def test_of_two_events_with_one_id_the_first_one_counts(self, desk: Desk, group: Group) -> None:
        event = login()
        other = login(id=event.id)

        await desk.router(group).handle(messages(event, other))

        assert await desk.world.rows("select user_id from effects where handler = 'first'") == [(event.user_id,)]

    async def test_each_group_handles_an_event_for_itself(self, desk: Desk, effects: Effects) -> None:
        event = login()
        groups = [
            Group(name, "user_events", {UserLoggedIn: (record(effects.record(f"of_{name}")),)}) for name in ("a", "b")
        ]

        for group in groups:
            await desk.router(group).handle([message(event)])

        assert await desk.effects("of_a") == await desk.effects("of_b") == [event.id]

    async def test_two_consumers_with_one_batch_at_one_time_have_each_effect_once(
        self, desk: Desk, group: Group
    ) -> None:
        events = [login() for _ in range(100)]
        await asyncio.gather(
            desk.router(group).handle(messages(*events)), desk.router(group).handle(messages(*reversed(events)))
        )

        assert len(await desk.effects("first")) == len(await desk.effects("second")) == 100
        assert await desk.world.count("tasks") == 100

    @pytest.mark.parametrize("has_bug", [False, True])
    async def test_a_connection_lost_at_any_statement_or_after_the_commit_repeats_no_effect(
        self, desk: Desk, group: Group, effects: Effects, *, has_bug: bool
    ) -> None:
        effects.fails = lambda handler, event: ValueError("a bug") if has_bug and handler == "second" else None
        for broken_step in count(1):
            trouble = Trouble(lambda step, broken=broken_step: step == broken)
            event = login()
            batch = [message(event), message(value=b"broken")]

            was_lost = await _handle_despite(trouble, desk, group, batch)

            assert await desk.effects("first", event) == [event.id]
            assert await desk.effects("second", event) == ([] if has_bug else [event.id])
            assert await desk.world.count("tasks") == broken_step * (2 if has_bug else 1)
            assert await desk.world.count("dead_letters") == broken_step
            if not was_lost:
                break
        assert broken_step > 5


async def _handle_despite(trouble: Trouble, desk: Desk, group: Group, batch: list[Received]) -> bool:
    """Handle a batch as the consumer does, again and again until it is done; whether it failed before."""
    router = desk.with_trouble(trouble).router(group)
    for attempt in count():
        with contextlib.suppress(DatabaseUnavailable, psycopg.OperationalError):
            await router.handle(batch)
            return attempt > 0
    raise AssertionError


class TestMessagesThatAreNoEvents:
    @pytest.mark.parametrize(
        "value",
        [
            None,
            b"",
            b"\xff\x00 not json",
            b"[]",
            b"{}",
            b'{"type": "user.logged_in"}',
            b'{"type": "user.logged_in", "type": "user.deleted"}',
            b"[" * 100_000,
        ],
        ids=["tombstone", "empty", "bytes", "list", "no type", "no fields", "two types", "too deep"],
    )
    async def test_one_that_cannot_be_read_is_a_dead_letter_and_the_rest_is_handled(
        self, desk: Desk, group: Group, value: bytes | None
    ) -> None:
        before, after = login(), login()
        broken = message(value=value, key=b"\x00\xff", headers={"event_type": "user.logged_in"})

        await desk.router(group).handle([message(before), broken, message(after)])

        assert await desk.effects("first") == [before.id, after.id]
        [row] = await desk.world.rows(
            "select handler, topic, kafka_partition, kafka_offset, key, value, headers, error from dead_letters"
        )
        assert row[:4] == ("decode", TOPIC, 0, broken.offset)
        assert row[4:7] == (b"\x00\xff", value, {"event_type": "user.logged_in"})
        assert row[7].startswith("Undecodable: ")

    @pytest.mark.parametrize(
        "facts",
        [
            {"timestamp": "0001-01-01T00:00:00+14:00"},
            {"timestamp": "9999-12-31T23:59:59-14:00"},
            {"timestamp": "2026-01-01T00:00:00+23:59"},
            {"timestamp": 10**30},
            {"sequence": 2**63},
            {"sequence": -(10**30)},
        ],
    )
    async def test_what_no_column_can_hold_is_a_dead_letter_and_does_not_hold_up_the_partition(
        self, desk: Desk, group: Group, facts: dict[str, object]
    ) -> None:
        neighbour = login()
        value = msgspec.json.encode(msgspec.json.decode(encode(login())) | facts)

        await desk.router(group).handle([message(value=value), message(neighbour)])

        assert await desk.effects("first") == [neighbour.id]
        assert await desk.world.value("select handler from dead_letters") == "decode"

    async def test_a_broken_message_that_comes_again_is_one_dead_letter(self, desk: Desk, group: Group) -> None:
        broken = message(value=b"broken")

        await desk.router(group).handle([broken, broken])
        await desk.router(group).handle([broken])

        assert await desk.world.count("dead_letters") == 1

    async def test_a_topic_made_anew_may_have_another_broken_message_at_the_same_offset(
        self, desk: Desk, group: Group
    ) -> None:
        await desk.router(group).handle([message(value=b"broken", offset=0)])
        await desk.router(group).handle([message(value=b"broken too", offset=0)])

        assert await desk.world.count("dead_letters") == 2

    async def test_an_unknown_type_is_counted_and_skipped(self, desk: Desk, group: Group) -> None:
        await desk.router(group).handle([message(value=b'{"type": "acme.\\u0000unheard"}')])

        assert await desk.world.count("dead_letters") == await desk.world.count("inbox") == 0
        labels = {"topic": TOPIC, "event_type": "other", "group": "usercenter"}
        assert desk.metrics.registry.get_sample_value("kafka_consumer_messages_total", labels) == 1

    async def test_an_event_of_a_type_that_the_group_does_not_handle_is_skipped(
        self, desk: Desk, effects: Effects
    ) -> None:
        group = Group("usercenter", "user_events", {UserUpdated: (record(effects.record("first")),)})

        await desk.router(group).handle(messages(login()))

        assert await desk.world.count("inbox") == 0

    async def test_an_event_of_a_megabyte_is_handled(self, desk: Desk, group: Group) -> None:
        event = login(data={"text": "é" * 500_000})

        await desk.router(group).handle(messages(event))

        assert await desk.effects("first") == [event.id]
        assert await desk.world.value("select length(payload) from tasks") > 1_000_000

    async def test_an_event_of_another_producer_without_our_optional_fields_is_handled_once(
        self, desk: Desk, group: Group
    ) -> None:
        facts = {"username": "ada", "email": "ada@example.com", "timestamp": "2026-07-01T10:00:00"}
        ids = {"id": str(new_id()), "user_id": str(new_id())}
        foreign = message(value=msgspec.json.encode({"type": "user.logged_in", "unheard_of": [1], **ids, **facts}))

        await desk.router(group).handle([foreign])
        await desk.router(group).handle([foreign])

        assert len(await desk.effects("first")) == 1


class TestAHandlerThatFails:
    async def test_only_the_event_to_blame_is_parked_and_others_keep_their_effects_once(
        self, desk: Desk, group: Group, effects: Effects
    ) -> None:
        events = [login() for _ in range(50)]
        bad = events[17]
        effects.fails = lambda handler, event: (
            ValueError("a bug") if handler == "second" and event.id == bad.id else None
        )

        await desk.router(group).handle(messages(*events))

        ids = [event.id for event in events]
        assert await desk.effects("first") == ids
        assert await desk.effects("second") == [id_ for id_ in ids if id_ != bad.id]
        rows = await desk.world.rows("select event_id, attempts, last_error from tasks where handler = 'second'")
        assert rows == [(bad.id, 1, "ValueError: a bug")]

    async def test_a_statement_that_postgresql_ends_for_its_time_is_the_fault_of_its_event_alone(
        self, desk: Desk, effects: Effects
    ) -> None:
        slow, quick = login(), login()

        async def take_long(events: Sequence[Event], tx: Transaction, context: Context) -> None:
            if any(event.id == slow.id for event in events):
                await tx.execute("set local statement_timeout = 1")
                await tx.execute("select pg_sleep(30)")

        group = Group(
            "usercenter", "user_events", {UserLoggedIn: (record(take_long), record(effects.record("second")))}
        )

        await desk.router(group).handle(messages(slow, quick))

        rows = await desk.world.rows("select event_id, handler, attempts from tasks")
        assert rows == [(slow.id, "take_long", 1)]
        assert sorted(await desk.effects("second")) == sorted([slow.id, quick.id])

    async def test_later_events_of_that_user_wait_and_those_of_others_do_not(
        self, desk: Desk, group: Group, effects: Effects
    ) -> None:
        user = new_id()
        first, second, third, other = login(user), login(user), login(user), login()
        effects.fails = lambda handler, event: ValueError("a bug") if event.id == first.id else None
        router = desk.router(group)

        await router.handle(messages(first, other, second))
        await router.handle(messages(third))

        assert await desk.effects("first") == [other.id]
        rows = await desk.world.rows("select event_id from tasks where handler = 'first' order by position")
        assert [row[0] for row in rows] == [first.id, second.id, third.id]

    async def test_after_the_fix_the_lane_runs_in_its_order(self, desk: Desk, group: Group, effects: Effects) -> None:
        user = new_id()
        events = [login(user) for _ in range(6)]
        effects.fails = lambda handler, event: ValueError("a bug") if event.id == events[1].id else None
        router = desk.router(group)
        await router.handle(messages(*events[:3]))

        effects.fails = lambda handler, event: None
        await router.handle(messages(*events[3:]))
        await desk.all_done(group)
        await router.handle(messages(last := login(user)))

        assert await desk.effects("first") == [event.id for event in [*events, last]]
        assert await desk.effects("second") == [event.id for event in [*events, last]]

    async def test_a_handler_of_two_types_sees_a_users_events_in_the_order_in_which_they_came(
        self, desk: Desk, effects: Effects
    ) -> None:
        first, send = record(effects.record("first")), outside(effects.outside("send"))
        group = Group("usercenter", "user_events", {UserLoggedIn: (first, send), UserUpdated: (first, send)})
        user = new_id()
        events = [login(user), update(user), login(user), update(user)]

        await desk.router(group).handle(messages(*events))
        await desk.all_done(group)

        assert await desk.effects("first") == effects.called(*events) == [event.id for event in events]

    async def test_an_outside_lane_keeps_the_order_of_a_batch(self, desk: Desk, group: Group, effects: Effects) -> None:
        users = [new_id() for _ in range(5)]
        events = [login(users[n % 5]) for n in range(50)]

        await desk.router(group).handle(messages(*events))
        await desk.all_done(group)

        for user in users:
            mine = [event for event in events if event.user_id == user]
            assert effects.called(*mine) == [event.id for event in mine]

    async def test_a_permanent_failure_is_a_dead_letter_at_once_and_the_lane_goes_on(
        self, desk: Desk, group: Group, effects: Effects
    ) -> None:
        user = new_id()
        bad, good = login(user), login(user)
        effects.fails = lambda handler, event: PermanentFailure("never") if event.id == bad.id else None

        await desk.router(group).handle(messages(bad, good))

        assert await desk.effects("first") == await desk.effects("second") == [good.id]
        rows = await desk.world.rows("select handler, event_id, user_id, attempts, error from dead_letters order by id")
        assert rows == [(name, bad.id, user, 1, "PermanentFailure: never") for name in ("first", "second")]

    async def test_a_handler_with_a_single_attempt_makes_a_dead_letter_of_what_fails(
        self, desk: Desk, effects: Effects
    ) -> None:
        once = record(effects.record("first"), retry=Schedule(attempts=1))
        effects.fails = lambda handler, event: ValueError("a bug")

        await desk.router(Group("usercenter", "user_events", {UserLoggedIn: (once,)})).handle(messages(login()))

        assert await desk.world.count("tasks") == 0
        assert await desk.world.value("select error from dead_letters") == "ValueError: a bug"

    @pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(3), BaseException("a panic")])
    async def test_whatever_a_handler_raises_concerns_its_event_alone(
        self, desk: Desk, group: Group, effects: Effects, error: BaseException
    ) -> None:
        bad, good = login(), login()
        effects.fails = lambda handler, event: error if event.id == bad.id and handler == "first" else None

        await desk.router(group).handle(messages(bad, good))

        assert await desk.effects("first") == [good.id]
        assert await desk.world.value("select last_error from tasks where handler = 'first'") == (
            f"HandlerBroke: the handler raised {type(error).__name__}, which is no Exception"
        )

    async def test_a_text_that_the_database_cannot_hold_parks_its_event_alone(
        self, desk: Desk, effects: Effects
    ) -> None:
        async def keep_agent(events, tx, context) -> None:
            for event in events:
                await tx.execute(
                    "insert into effects (handler, event_id) values (%s, %s)", (event.user_agent, event.id)
                )

        bad, good = login(user_agent="nul \x00"), login(user_agent="plain")

        await desk.router(Group("usercenter", "user_events", {UserLoggedIn: (record(keep_agent),)})).handle(
            messages(bad, good)
        )

        assert await desk.effects("plain") == [good.id]
        assert await desk.world.value("select event_id from tasks") == bad.id

    async def test_a_constraint_that_is_checked_at_the_commit_parks_its_event_alone(
        self, desk: Desk, effects: Effects
    ) -> None:
        async with desk.world.database.transaction() as tx:
            await tx.execute("create table slots (slot text, unique (slot) deferrable initially deferred)")

        async def take_slot(events, tx, context) -> None:
            for event in events:
                await tx.execute("insert into slots (slot) values (%s)", (event.user_agent,))

        group = Group("usercenter", "user_events", {UserLoggedIn: (record(take_slot), record(effects.record("first")))})
        events = [login(user_agent=slot) for slot in ("a", "b", "a", "c")]

        await desk.router(group).handle(messages(*events))

        assert sorted(await desk.world.rows("select slot from slots")) == [("a",), ("b",), ("c",)]
        assert await desk.world.rows("select event_id, handler from tasks") == [(events[2].id, "take_slot")]
        assert await desk.effects("first") == [event.id for event in events]

    async def test_a_handler_that_swallows_an_error_of_the_database_is_found_out(
        self, desk: Desk, effects: Effects
    ) -> None:
        async def careless(events, tx, context) -> None:
            with contextlib.suppress(psycopg.Error):
                await tx.execute("select 1 / 0")

        group = Group("usercenter", "user_events", {UserLoggedIn: (record(careless), record(effects.record("first")))})
        event = login()

        await desk.router(group).handle(messages(event))

        assert await desk.effects("first") == [event.id]
        assert await desk.world.value("select handler from tasks") == "careless"

    async def test_the_event_to_blame_is_found_in_few_steps(self, desk: Desk, effects: Effects) -> None:
        events = [login() for _ in range(256)]
        effects.fails = lambda handler, event: ValueError("a bug") if event.id == events[100].id else None
        group = Group("usercenter", "user_events", {UserLoggedIn: (record(effects.record("first")),)})

        await desk.router(group).handle(messages(*events))

        assert len(effects.sizes) <= 2 + 2 * 8
        assert len(await desk.effects("first")) == 255

    @pytest.mark.parametrize("seed", range(4))
    async def test_order_and_number_of_effects_hold_under_failures_at_random(
        self, desk: Desk, group: Group, effects: Effects, seed: int
    ) -> None:
        chance = random.Random(seed)  # noqa: S311  # keeps no secret
        users = [new_id() for _ in range(4)]
        events = [login(chance.choice(users)) for _ in range(60)]
        effects.fails = lambda handler, event: ValueError("bad luck") if chance.random() < 0.1 else None
        lasting = Schedule(attempts=60, first_seconds=0.001, longest_seconds=0.002)
        router = desk.router(group, schedule=lasting)

        async with desk.running(group, schedule=lasting):
            for start in range(0, 60, 10):
                await router.handle(messages(*events[start : start + 10]))
            await desk.eventually_tasks(0)

        for user in users:
            mine = [event for event in events if event.user_id == user]
            ids = [event.id for event in mine]
            assert await desk.effects("first", *mine) == await desk.effects("second", *mine) == ids
            assert effects.called(*mine) == ids


async def test_a_batch_cancelled_at_any_moment_is_done_whole_when_it_comes_again(desk: Desk, group: Group) -> None:
    for moment in range(0, 60, 3):
        events = [login(), login()]
        handling = asyncio.create_task(desk.router(group).handle(messages(*events)))
        for _ in range(moment):
            await asyncio.sleep(0)
        handling.cancel()
        await asyncio.gather(handling, return_exceptions=True)

        await desk.router(group).handle(messages(*events))

        ids = [event.id for event in events]
        assert await desk.effects("first", *events) == await desk.effects("second", *events) == ids


async def test_an_empty_batch_is_nothing(desk: Desk, group: Group) -> None:
    await desk.router(group).handle([])


async def test_what_a_handler_says_of_an_event_stays_out_of_the_log(
    desk: Desk, group: Group, effects: Effects, caplog: pytest.LogCaptureFixture
) -> None:
    effects.fails = lambda handler, event: ValueError("ada@example.com is taken")

    with caplog.at_level(logging.INFO):
        await desk.router(group).handle(messages(login()))

    assert "kafka.batch_isolated" in caplog.text
    assert "ada@example.com" not in caplog.text
