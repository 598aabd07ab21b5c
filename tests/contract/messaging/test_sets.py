"""Tasks that are done in sets: each lane in order, a failure of one laid to that one, nothing lost on the way."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from harness import World, eventually
from receiving import Desk, Trouble, login, messages

from usercenter.clock import HeldClock
from usercenter.events import Event, UserLoggedIn, new_id
from usercenter.messaging.groups import (
    Context,
    Group,
    NotYet,
    PermanentFailure,
    Schedule,
    in_sets,
    outside,
)
from usercenter.messaging.shards import SHARDS, shard_of


@pytest.fixture
async def desk(world: World) -> Desk:
    desk = Desk(world)
    await desk.open()
    return desk


class Outside:
    """The outside, with a handler for one event and the same for many."""

    def __init__(self) -> None:
        self.sets: list[list[UUID]] = []
        self.single: list[UUID] = []
        self.bad: dict[UUID, Exception] = {}
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()

    def group(self, **options: Any) -> Group:
        """The group with this handler."""

        async def send(event: Event, context: Context) -> None:
            self._look([event])
            self.single.append(event.id)

        async def send_all(events: Sequence[Event], context: Context) -> None:
            self.entered.set()
            if self.gate is not None:
                await self.gate.wait()
            self._look(events)
            self.sets.append([event.id for event in events])

        handler: Any = outside(send, together=send_all, **options)
        return Group("usercenter", "user_events", {UserLoggedIn: (handler,)})

    def _look(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.id in self.bad:
                raise self.bad[event.id]


@pytest.fixture
def outside_world() -> Outside:
    return Outside()


async def test_many_tasks_are_one_call_with_each_users_events_in_order(desk: Desk, outside_world: Outside) -> None:
    users, group = [new_id() for _ in range(20)], outside_world.group()
    events = [login(user) for _ in range(5) for user in users]
    await desk.router(group).handle(messages(*events))

    await desk.all_done_in_sets(group)

    assert outside_world.sets == [[event.id for event in events]]
    assert outside_world.single == []
    assert desk.metrics.registry.get_sample_value(
        "usercenter_handled_total", {"handler": "send", "outcome": "done"}
    ) == len(events)


async def test_when_one_fails_it_is_parked_with_its_lane_and_all_others_are_done(
    desk: Desk, outside_world: Outside
) -> None:
    user, group = new_id(), outside_world.group()
    first, bad, behind = login(user), login(user), login(user)
    others = [login() for _ in range(5)]
    outside_world.bad[bad.id] = OSError("away")
    await desk.router(group).handle(messages(first, *others, bad, behind))

    async with desk.doing_sets(group, schedule=Schedule(first_seconds=3600)):
        await desk.eventually_tasks(2)
        rows = await eventually(
            lambda: desk.world.rows("select event_id, attempts, ended, last_error from tasks order by position"),
            lambda rows: rows[0][3] is not None,
            what="the failure",
        )

    assert rows == [(bad.id, 1, 1, "OSError: away"), (behind.id, 0, 0, None)]
    assert set(outside_world.single) == {first.id, *(event.id for event in others)}


async def test_what_failed_before_is_tried_alone_and_the_lane_goes_on_in_order(
    desk: Desk, outside_world: Outside
) -> None:
    user, group = new_id(), outside_world.group()
    bad, behind = login(user), login(user)
    outside_world.bad[bad.id] = OSError("away")
    await desk.router(group).handle(messages(bad, behind))

    async with desk.doing_sets(group, schedule=Schedule(attempts=100, first_seconds=0.001, longest_seconds=0.002)):
        await eventually(
            lambda: desk.world.value("select attempts > 1 from tasks where event_id = %s", bad.id), what="an attempt"
        )
        outside_world.bad.clear()
        await desk.eventually_tasks(0)

    done = [*outside_world.single, *(id_ for each in outside_world.sets for id_ in each)]
    assert outside_world.single[0] == bad.id
    assert sorted(done) == sorted([bad.id, behind.id])


async def test_a_permanent_failure_is_a_dead_letter_and_those_behind_it_run(desk: Desk, outside_world: Outside) -> None:
    user, group = new_id(), outside_world.group()
    bad, behind = login(user), login(user)
    outside_world.bad[bad.id] = PermanentFailure("no such thing")
    await desk.router(group).handle(messages(bad, behind))

    await desk.all_done_in_sets(group)

    assert await desk.world.rows("select event_id from dead_letters") == [(bad.id,)]
    assert [*outside_world.single, *(id_ for each in outside_world.sets for id_ in each)] == [behind.id]


async def test_a_set_whose_time_has_not_come_waits_and_no_attempt_is_counted(
    desk: Desk, outside_world: Outside
) -> None:
    group, events = outside_world.group(), [login() for _ in range(3)]
    outside_world.bad[events[1].id] = NotYet(3_600)
    await desk.router(group).handle(messages(*events))

    async with desk.doing_sets(group):
        await eventually(
            lambda: desk.world.value(
                "select count(*) from tasks where next_attempt_at > now() + interval '50 minutes'"
            ),
            lambda n: n == len(events),
            what="the wait",
        )

    assert await desk.world.rows("select distinct attempts, ended, last_error from tasks") == [(0, 0, None)]


async def test_what_comes_behind_a_parked_one_waits_with_it_and_fills_no_set(
    desk: Desk, outside_world: Outside
) -> None:
    user, group = new_id(), outside_world.group()
    bad, behind, other = login(user), login(user), login()
    outside_world.bad[bad.id] = OSError("away")
    await desk.router(group).handle(messages(bad))

    async with desk.doing_sets(group, schedule=Schedule(first_seconds=3600)):
        await eventually(lambda: desk.world.value("select ended from tasks"), what="the failure")
        await desk.router(group).handle(messages(behind, other))
        await eventually(
            lambda: desk.world.value("select next_attempt_at > now() from tasks where event_id = %s", behind.id),
            what="the wait of the one behind",
        )
        await eventually(lambda: other.id in {id_ for each in outside_world.sets for id_ in each}, what="the other one")

    assert outside_world.single == []


async def test_a_process_that_ends_between_the_call_and_its_note_does_it_again_and_in_order(
    desk: Desk, outside_world: Outside
) -> None:
    group, user = outside_world.group(), new_id()
    events = [login(user), login(user), login()]
    await desk.router(group).handle(messages(*events))
    leases = desk.leases()
    await leases.beat()
    dying = desk.sets(group, leases=leases)
    await dying._attempt(await dying._turn())  # and no turn that would note it
    assert await desk.world.count("tasks") == len(events)
    await leases.release()

    again = Outside()
    async with desk.doing_sets(again.group(), schedule=Schedule(attempts=5, first_seconds=0.001)):
        await desk.eventually_tasks(0)

    done = [*again.single, *(id_ for each in again.sets for id_ in each)]
    assert set(done) == {event.id for event in events}
    assert [id_ for id_ in done if id_ != events[2].id] == [events[0].id, events[1].id]


async def test_stopped_in_the_middle_of_a_set_it_gives_everything_back(desk: Desk, outside_world: Outside) -> None:
    group, events = outside_world.group(), [login() for _ in range(3)]
    outside_world.gate = asyncio.Event()
    await desk.router(group).handle(messages(*events))

    async with desk.doing_sets(group, stop_seconds=0.05):
        await asyncio.wait_for(outside_world.entered.wait(), 30)

    assert await desk.world.rows("select distinct attempts, ended from tasks") == [(0, 0)]


@pytest.mark.parametrize("step", range(1, 12))
async def test_a_connection_that_is_lost_at_any_moment_loses_no_task_and_breaks_no_order(
    desk: Desk, outside_world: Outside, step: int
) -> None:
    group, user = outside_world.group(), new_id()
    events = [login(user), login(user), login()]
    await desk.router(group).handle(messages(*events))
    troubled = desk.with_trouble(Trouble(lambda number: number == step))

    await troubled.all_done_in_sets(group, schedule=Schedule(attempts=5, first_seconds=0.001))

    done = [*outside_world.single, *(id_ for each in outside_world.sets for id_ in each)]
    assert set(done) == {event.id for event in events}
    assert done.index(events[0].id) < done.index(events[1].id)
    assert await desk.world.count("dead_letters") == 0


async def test_where_there_is_nothing_to_do_no_task_is_left(desk: Desk, outside_world: Outside) -> None:
    group = outside_world.group(only_if=lambda context: False)

    await desk.router(group).handle(messages(login(), login()))

    assert await desk.world.count("tasks") == 0


def test_only_handlers_with_a_function_for_many_are_done_in_sets(outside_world: Outside) -> None:
    async def plain(event: Event, context: Context) -> None: ...

    several: Any = outside_world.group().handlers[UserLoggedIn][0]
    assert list(in_sets({"plain": outside(plain), "send": several})) == ["send"]


async def test_what_is_suspected_of_having_ended_processes_has_no_other_task_in_hand_beside_it(desk: Desk) -> None:
    suspect, others, beside = login(), [login() for _ in range(5)], list[int]()

    async def send(event: Event, context: Context) -> None:
        if event.id == suspect.id:
            (row,) = await desk.world.rows("select sum(attempts)::int from tasks where crashes = 0")
            beside.append(row[0])

    async def send_all(events: Sequence[Event], context: Context) -> None:
        assert suspect.id not in {event.id for event in events}

    handler: Any = outside(send, together=send_all)
    group = Group("usercenter", "user_events", {UserLoggedIn: (handler,)})
    await desk.router(group).handle(messages(*others[:3], suspect, *others[3:]))
    async with desk.database.transaction() as tx:
        await tx.execute("update tasks set crashes = 2, attempts = 2, ended = 2 where event_id = %s", (suspect.id,))

    await desk.all_done_in_sets(group)

    assert beside == [0]


class Stubborn:
    """A handler that ignores its cancellation until it may leave; then it fails, if there is an error."""

    def __init__(self, *, error: Exception | None = OSError("away")) -> None:  # noqa: B008  # never changed
        self.entered, self.may_leave = asyncio.Event(), asyncio.Event()
        self.single: list[UUID] = []
        self.error = error
        self.handler: Any = outside(self.send, together=self.send_all)
        self.group = Group("usercenter", "user_events", {UserLoggedIn: (self.handler,)})

    async def send(self, event: Event, context: Context) -> None:
        self.single.append(event.id)

    async def send_all(self, events: Sequence[Event], context: Context) -> None:
        self.entered.set()
        while not self.may_leave.is_set():
            try:
                await self.may_leave.wait()
            except asyncio.CancelledError:
                continue
        if self.error is not None:
            raise self.error


async def test_a_set_that_ignores_its_cancellation_does_not_keep_the_process(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    stubborn = Stubborn()
    await desk.router(stubborn.group).handle(messages(login()))

    async with asyncio.timeout(10), desk.doing_sets(stubborn.group, stop_seconds=0):
        await stubborn.entered.wait()

    assert await desk.world.count("tasks") == 1
    assert _left_behind(caplog) == ["send"]
    stubborn.may_leave.set()


async def test_a_set_that_ignores_the_loss_of_the_lease_is_left_behind_and_others_are_done(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    clock, stubborn, other, sent = HeldClock(datetime(2026, 1, 1, tzinfo=UTC)), Stubborn(), login(), list[UUID]()

    async def note(event: Event, context: Context) -> None: ...

    async def note_all(events: Sequence[Event], context: Context) -> None:
        sent.extend(event.id for event in events)

    notes = Group("noting", "user_events", {UserLoggedIn: (cast("Any", outside(note, together=note_all)),)})
    leases = desk.leases(lease_seconds=10, clock=clock)
    await desk.router(stubborn.group).handle(messages(login()))

    async with desk.doing_sets(stubborn.group, notes, leases=leases, stop_seconds=0):
        await stubborn.entered.wait()
        clock.advance(timedelta(seconds=9))
        await eventually(lambda: _left_behind(caplog), what="that it is left behind")
        await leases.beat()
        await desk.router(notes).handle(messages(other))
        await eventually(lambda: sent, what="the set of another handler")

    assert sent == [other.id]
    assert _left_behind(caplog) == ["send"]
    stubborn.may_leave.set()


async def test_a_set_that_was_left_behind_begins_nothing_more_for_users_who_went_to_another_process(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    clock, stubborn, sent = HeldClock(datetime(2026, 1, 1, tzinfo=UTC)), Stubborn(error=None), list[UUID]()

    async def note(event: Event, context: Context) -> None: ...

    async def note_all(events: Sequence[Event], context: Context) -> None:
        sent.extend(event.id for event in events)

    async def is_over() -> bool:
        return bool(sent) or not await desk.world.value("select attempts from tasks where handler = 'note'")

    both = (stubborn.handler, cast("Any", outside(note, together=note_all)))
    group = Group("usercenter", "user_events", {UserLoggedIn: both})
    leases, of_another = desk.leases(lease_seconds=10, clock=clock), desk.leases(lease_seconds=10)
    user_id = next(id_ for id_ in iter(new_id, None) if shard_of(id_) == SHARDS - 1)
    await desk.router(group).handle(messages(login(user_id=user_id)))

    async with desk.doing_sets(group, leases=leases, stop_seconds=0):
        await stubborn.entered.wait()
        clock.advance(timedelta(seconds=9))
        await eventually(lambda: _left_behind(caplog), what="that it is left behind")
        await of_another.beat()
        await leases.beat()  # lets the other have its share
        await of_another.beat()
        assert of_another.is_ours(SHARDS - 1)
        stubborn.may_leave.set()
        await eventually(is_over, what="the end of the set")

    assert sent == []


async def test_a_set_that_fails_after_its_lease_is_lost_begins_nothing_more(desk: Desk) -> None:
    clock, stubborn = HeldClock(datetime(2026, 1, 1, tzinfo=UTC)), Stubborn()
    await desk.router(stubborn.group).handle(messages(login(), login()))

    async with desk.doing_sets(stubborn.group, leases=desk.leases(lease_seconds=10, clock=clock)):
        await stubborn.entered.wait()
        clock.advance(timedelta(seconds=9))
        stubborn.may_leave.set()
        await eventually(
            lambda: desk.world.value("select sum(attempts) from tasks"), lambda n: n == 0, what="all given back"
        )

    assert stubborn.single == []


def _left_behind(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    return [line["handler"] for line in lines if line["event"] == "tasks.handler_left_behind"]
