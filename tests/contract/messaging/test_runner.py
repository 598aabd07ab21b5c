"""The task runner: each lane in order, one attempt at a time, whatever breaks and whoever else runs."""

import asyncio
import random
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from harness import World, eventually
from receiving import QUICK, Desk, Effects, Trouble, login, message, messages

from usercenter.clock import HeldClock
from usercenter.events import Event, UserLoggedIn, new_id
from usercenter.messaging.groups import Context, Group, PermanentFailure, Schedule, outside, record

LASTING = Schedule(attempts=100, first_seconds=0.001, longest_seconds=0.002)


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
    return of_logins(outside(effects.outside("send")))


def of_logins(*handlers: Any) -> Group:
    return Group("usercenter", "user_events", {UserLoggedIn: handlers})


class Gate:
    """An outside handler that says when it was entered, and waits until it may leave."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.may_leave = asyncio.Event()
        self.attempts: list[int] = []
        self.left: list[UUID] = []

    async def __call__(self, event: Event, context: Context) -> None:
        self.attempts.append(context.attempt)
        self.entered.set()
        await self.may_leave.wait()
        self.left.append(event.id)

    def handler(self) -> Any:
        async def gate(event: Event, context: Context) -> None:
            await self(event, context)

        return outside(gate)


class TestFailures:
    async def test_a_task_that_fails_is_tried_again_and_its_lane_waits_while_others_flow(
        self, desk: Desk, group: Group, effects: Effects
    ) -> None:
        user = new_id()
        first, second, other = login(user), login(user), login()
        effects.fails = lambda handler, event: OSError("away") if event.id == first.id else None
        await desk.router(group).handle(messages(first, second, other))

        async with desk.running(group, schedule=LASTING):
            await eventually(lambda: effects.called(other), what="the other user's call")
            await desk.eventually_tasks(2)
            effects.fails = lambda handler, event: None
            await desk.eventually_tasks(0)

        assert effects.called(first, second) == [first.id, second.id]

    async def test_after_the_last_attempt_it_is_a_dead_letter_and_those_behind_it_run(
        self, desk: Desk, group: Group, effects: Effects
    ) -> None:
        user = new_id()
        bad, good = login(user), login(user)
        effects.fails = lambda handler, event: OSError("away") if event.id == bad.id else None
        await desk.router(group).handle(messages(bad, good))

        await desk.all_done(group)

        assert effects.called(bad, good) == [good.id]
        rows = await desk.world.rows("select event_id, handler, attempts, error from dead_letters")
        assert rows == [(bad.id, "send", QUICK.attempts, "OSError: away")]

    async def test_a_permanent_failure_is_a_dead_letter_at_once(
        self, desk: Desk, group: Group, effects: Effects
    ) -> None:
        effects.fails = lambda handler, event: PermanentFailure("no such address")
        await desk.router(group).handle(messages(login()))

        await desk.all_done(group, schedule=Schedule(first_seconds=1_000))

        assert await desk.world.rows("select attempts, error from dead_letters") == [
            (1, "PermanentFailure: no such address")
        ]

    @pytest.mark.parametrize(
        "error", [BaseException("panic"), asyncio.CancelledError(), SystemExit(1), GeneratorExit()], ids=repr
    )
    async def test_whatever_a_handler_raises_its_lane_is_not_stuck(
        self, desk: Desk, group: Group, effects: Effects, error: BaseException
    ) -> None:
        user = new_id()
        bad, good = login(user), login(user)
        effects.fails = lambda handler, event: error if event.id == bad.id else None
        await desk.router(group).handle(messages(bad, good))

        await desk.all_done(group)

        assert effects.called(good) == [good.id]
        assert await desk.world.value("select event_id from dead_letters") == bad.id

    @pytest.mark.parametrize(
        "text", ["nul \x00", "half \ud800", "", "x" * 100_000, b"\xff".decode(errors="surrogateescape")]
    )
    async def test_an_error_of_any_text_is_kept(self, desk: Desk, group: Group, effects: Effects, text: str) -> None:
        effects.fails = lambda handler, event: ValueError(text)
        await desk.router(group).handle(messages(login()))

        await desk.all_done(group)

        error = await desk.world.value("select error from dead_letters")
        assert error.startswith("ValueError")
        assert await desk.world.count("outbox") == 1

    async def test_an_attempt_that_takes_too_long_is_cancelled_and_failed(self, desk: Desk, effects: Effects) -> None:
        async def never_return(event: Event, context: Context) -> None:
            await asyncio.Event().wait()

        group = of_logins(outside(never_return, timeout_seconds=0.02, retry=Schedule(attempts=1)))
        await desk.router(group).handle(messages(login()))

        await desk.all_done(group)

        assert (await desk.world.value("select error from dead_letters")).startswith("TimeoutError")

    async def test_a_task_of_an_unknown_topic_can_still_die(self, desk: Desk, group: Group, effects: Effects) -> None:
        effects.fails = lambda handler, event: PermanentFailure("never")
        await desk.router(group).handle([message(login(), topic="a topic of yesterday's config")])

        await desk.all_done(group)

        assert await desk.world.count("dead_letters") == 1
        assert await desk.world.count("outbox") == 0

    async def test_a_task_that_todays_code_cannot_read_waits_for_code_that_can(
        self, desk: Desk, group: Group, effects: Effects
    ) -> None:
        user = new_id()
        await desk.router(group).handle(messages(first := login(user), second := login(user)))
        good = await desk.world.value("select payload from tasks where event_id = %s", first.id)
        await _execute(desk, "update tasks set payload = '\\x00' where event_id = %s", first.id)

        async with desk.running(group, schedule=LASTING):
            await eventually(
                lambda: desk.world.value("select max(attempts) from tasks"), lambda n: n > 1, what="attempts"
            )
            await _execute(desk, "update tasks set payload = %s where event_id = %s", good, first.id)
            await desk.eventually_tasks(0)

        assert effects.called(first, second) == [first.id, second.id]

    async def test_a_record_task_takes_effect_once_and_a_failed_attempt_leaves_nothing(
        self, desk: Desk, effects: Effects
    ) -> None:
        group = of_logins(record(effects.record("first")))
        event = login()
        tries = Counter[str]()

        def fails(handler: str, event: Event) -> Exception | None:
            tries["all"] += 1
            return ValueError("a bug") if tries["all"] < 4 else None

        effects.fails = fails
        await desk.router(group, schedule=LASTING).handle(messages(event))

        await desk.all_done(group, schedule=LASTING)

        assert await desk.effects("first") == [event.id]


class TestAttempts:
    async def test_a_handler_is_told_its_attempt_and_the_same_idempotency_id_each_time(self, desk: Desk) -> None:
        seen: list[tuple[int, UUID | None]] = []

        async def send(event: Event, context: Context) -> None:
            seen.append((context.attempt, context.idempotency_id))
            if context.attempt < 3:
                raise OSError

        await desk.router(of_logins(outside(send))).handle(messages(event := login()))

        await desk.all_done(of_logins(outside(send)))

        assert seen == [(1, event.id), (2, event.id), (3, event.id)]

    async def test_an_event_that_kills_its_process_becomes_a_dead_letter_and_its_lane_goes_on(
        self, desk: Desk, effects: Effects
    ) -> None:
        user = new_id()
        deadly, after = login(user, user_agent="deadly"), login(user)
        group = of_logins(outside(effects.outside("send")))
        await desk.router(group).handle(messages(deadly, after))

        for _ in range(QUICK.attempts):
            assert await _run_worker_that_dies(desk) == 17
            await _execute(desk, "delete from lease_owners")
        await desk.all_done(group)

        assert effects.called(deadly, after) == [after.id]
        [(attempts, error)] = await desk.world.rows("select attempts, error from dead_letters")
        assert attempts == QUICK.attempts
        assert "began and never ended" in error

    async def test_after_a_crash_a_task_waits_as_after_a_failure(self, desk: Desk, group: Group) -> None:
        await desk.router(group).handle(messages(event := login()))
        await _execute(desk, "update tasks set attempts = 1")  # claimed by a process that is no more

        async with desk.running(group, schedule=Schedule(first_seconds=1_000)):
            await eventually(
                lambda: desk.world.value("select next_attempt_at > now() from tasks"), what="the task parked"
            )

        assert await desk.world.rows("select event_id, attempts, ended from tasks") == [(event.id, 1, 1)]

    async def test_an_interrupted_attempt_does_not_count(self, desk: Desk) -> None:
        gate = Gate()
        group = of_logins(gate.handler())
        await desk.router(group).handle(messages(event := login()))

        async with desk.running(group, stop_seconds=0):
            await gate.entered.wait()

        rows = await desk.world.rows("select attempts, ended, last_error, next_attempt_at <= now() from tasks")
        assert rows == [(0, 0, None, True)]
        gate.may_leave.set()
        await desk.all_done(group)
        assert gate.left == [event.id]
        assert gate.attempts == [1, 1]


class TestStopping:
    async def test_a_handler_that_is_running_may_finish_and_is_noted(self, desk: Desk) -> None:
        gate = Gate()
        group = of_logins(gate.handler())
        await desk.router(group).handle(messages(event := login()))

        async with desk.running(group):
            await gate.entered.wait()
            asyncio.get_running_loop().call_later(0.05, gate.may_leave.set)

        assert gate.left == [event.id]
        assert await desk.world.count("tasks") == 0

    async def test_a_handler_that_ignores_its_cancellation_does_not_keep_the_process(self, desk: Desk) -> None:
        entered, may_leave = asyncio.Event(), asyncio.Event()

        async def stubborn(event: Event, context: Context) -> None:
            entered.set()
            while not may_leave.is_set():
                try:
                    await may_leave.wait()
                except asyncio.CancelledError:
                    continue

        group = of_logins(outside(stubborn))
        await desk.router(group).handle(messages(login()))

        async with asyncio.timeout(10), desk.running(group, stop_seconds=0):
            await entered.wait()

        assert await desk.world.count("tasks") == 1
        may_leave.set()

    async def test_it_ends_when_the_database_is_away(self, desk: Desk, group: Group) -> None:
        is_away = False
        other = desk.with_trouble(Trouble(lambda step: is_away))
        gate = Gate()
        await desk.router(of_logins(gate.handler())).handle(messages(login()))

        async with other.running(of_logins(gate.handler())):
            await gate.entered.wait()
            is_away = True
            gate.may_leave.set()

        assert await desk.world.count("tasks") == 1  # at least once: it will be done again

    @pytest.mark.parametrize("seed", range(3))
    async def test_cancelled_at_any_statement_it_forgets_nothing_and_does_nothing_twice(
        self, desk: Desk, group: Group, effects: Effects, seed: int
    ) -> None:
        chance = random.Random(seed)  # noqa: S311  # keeps no secret
        events = [login() for _ in range(60)]
        await desk.router(group).handle(messages(*events))
        work: asyncio.Task[None] | None = None

        def cancel_sometimes(_: int) -> bool:
            if work is not None and chance.random() < 0.2:
                work.cancel()
            return False

        other = desk.with_trouble(Trouble(cancel_sometimes), concurrent_lanes=2)
        leases = desk.leases()
        await leases.beat()
        runner = other.runner(group, leases=leases, schedule=Schedule(attempts=1))
        while await desk.world.count("tasks"):
            work = asyncio.create_task(runner.run())
            await asyncio.gather(work, return_exceptions=True)

        assert sorted(effects.called(*events)) == sorted(event.id for event in events)
        assert await desk.world.count("dead_letters") == 0


class TestTheDatabaseGoesAway:
    @pytest.mark.parametrize("seed", range(3))
    async def test_at_any_statement_or_commit_and_nothing_is_lost_or_done_twice(
        self, desk: Desk, group: Group, effects: Effects, seed: int
    ) -> None:
        chance = random.Random(seed)  # noqa: S311  # keeps no secret
        users = [new_id() for _ in range(5)]
        events = [login(chance.choice(users)) for _ in range(40)]
        effects.fails = lambda handler, event: OSError("away") if chance.random() < 0.1 else None
        await desk.router(group).handle(messages(*events))
        other = desk.with_trouble(Trouble(lambda step: chance.random() < 0.05))

        async with other.running(group, schedule=LASTING):
            await desk.eventually_tasks(0)

        for user in users:
            mine = [event for event in events if event.user_id == user]
            assert effects.called(*mine) == [event.id for event in mine]
        assert await desk.world.count("dead_letters") == 0

    async def test_a_claim_whose_commit_is_in_doubt_is_no_attempt(
        self, desk: Desk, group: Group, effects: Effects
    ) -> None:
        chance = random.Random(1)  # noqa: S311  # keeps no secret
        events = [login() for _ in range(60)]
        await desk.router(group).handle(messages(*events))
        other = desk.with_trouble(Trouble(lambda step: chance.random() < 0.2), concurrent_lanes=1)

        async with other.running(group, schedule=Schedule(attempts=1)):
            await desk.eventually_tasks(0)

        assert sorted(effects.called(*events)) == sorted(event.id for event in events)
        assert await desk.world.count("dead_letters") == 0


class TestSharing:
    async def test_one_user_with_a_long_backlog_does_not_hold_up_the_others(self, world: World) -> None:
        desk = Desk(world, window=20, concurrent_lanes=4)
        gate = Gate()
        busy, others = new_id(), [login() for _ in range(10)]
        done: list[UUID] = []

        async def send(event: Event, context: Context) -> None:
            if event.user_id == busy:
                await gate(event, context)
            done.append(event.id)

        group = of_logins(outside(send))
        await desk.router(group).handle(messages(*[login(busy) for _ in range(100)], *others))

        async with desk.running(group):
            await eventually(lambda: len(done), lambda n: n == 10, what="the others' tasks")
            assert set(done) == {event.id for event in others}
            gate.may_leave.set()
            await desk.eventually_tasks(0)

    async def test_tasks_that_come_due_before_an_earlier_one_of_their_lane_do_not_stop_the_work(
        self, world: World
    ) -> None:
        """Their lane's first task failed while the runner was away, so it comes due after all of them."""
        desk, effects = Desk(world, window=10, concurrent_lanes=2), Effects()
        group = of_logins(outside(effects.outside("send")))
        user = new_id()
        events = [login(user) for _ in range(50)]
        await desk.router(group).handle(messages(*events))
        await _execute(desk, "update tasks set next_attempt_at = now() - make_interval(secs => position)")

        await desk.all_done(group)

        assert effects.called(*events) == [event.id for event in events]

    async def test_a_task_behind_a_parked_one_waits_for_it(self, desk: Desk, group: Group, effects: Effects) -> None:
        user = new_id()
        first, second, other = login(user), login(user), login()
        await desk.router(group).handle(messages(first))
        await _execute(desk, "update tasks set next_attempt_at = now() + interval '1 hour'")

        async with desk.running(group):
            await desk.router(group).handle(messages(second, other))
            await desk.eventually_tasks(2)
            await eventually(
                lambda: desk.world.value("select count(distinct next_attempt_at) from tasks"),
                lambda n: n == 1,
                what="the second one to wait for the first",
            )
            assert effects.called(first, second, other) == [other.id]
            await _execute(desk, "update tasks set next_attempt_at = now()")
            await desk.eventually_tasks(0)

        assert effects.called(first, second) == [first.id, second.id]

    async def test_a_runner_that_has_nothing_to_do_asks_seldom(self, world: World) -> None:
        trouble = Trouble(lambda step: False)
        desk = Desk(world).with_trouble(trouble, idle_poll_ms=60_000)
        group = of_logins((gate := Gate()).handler())
        user = new_id()
        await desk.router(group).handle(messages(login(user), login(user)))

        async with desk.running(group):
            await gate.entered.wait()  # its lane is blocked from here on
            before = trouble.steps
            for _ in range(1_000):
                await asyncio.sleep(0)
            assert trouble.steps - before < 20
            gate.may_leave.set()

    @pytest.mark.parametrize("seed", range(3))
    async def test_while_runners_come_and_go_no_lane_is_ever_in_two_hands_and_all_keep_their_order(
        self, desk: Desk, seed: int
    ) -> None:
        chance = random.Random(seed)  # noqa: S311  # keeps no secret
        users = [new_id() for _ in range(30)]
        events = [login(chance.choice(users)) for _ in range(200)]
        inside, most_at_once = Counter[UUID](), Counter[UUID]()
        done: dict[UUID, list[UUID]] = defaultdict(list)

        async def send(event: Event, context: Context) -> None:
            inside[event.user_id] += 1
            most_at_once[event.user_id] = max(inside[event.user_id], most_at_once[event.user_id])
            try:
                for _ in range(chance.choice([0, 0, 0, 0, 20])):
                    await desk.world.count("leases")  # takes a while, and others' turns
                if chance.random() < 0.05:
                    raise OSError
                done[event.user_id].append(event.id)
            finally:
                inside[event.user_id] -= 1

        group = of_logins(outside(send))
        await desk.router(group).handle(messages(*events))

        leases = desk.leases()
        async with desk.running(group, leases=leases, schedule=LASTING), _guests(desk, group, chance):
            while await desk.world.count("tasks"):
                await leases.beat()

        assert max(most_at_once.values()) == 1
        for user in users:
            assert done[user] == [event.id for event in events if event.user_id == user]
        assert await desk.world.count("dead_letters") == 0

    async def test_a_runner_whose_lease_cannot_be_trusted_stops_its_handlers_before_another_may_begin(
        self, desk: Desk
    ) -> None:
        clock = HeldClock(datetime(2026, 1, 1, tzinfo=UTC))
        gate = Gate()
        group = of_logins(gate.handler())
        await desk.router(group).handle(messages(login()))

        async with desk.running(group, leases=desk.leases(lease_seconds=10, clock=clock)):
            await gate.entered.wait()
            clock.advance(timedelta(seconds=9))
            await eventually(
                lambda: desk.world.value("select attempts from tasks"), lambda n: n == 0, what="given back"
            )

        assert gate.left == []

    async def test_the_end_of_a_lost_attempt_changes_nothing_for_the_new_owner(
        self, desk: Desk, effects: Effects
    ) -> None:
        """A frozen process wakes up and its handler fails, while the next owner is at the same task."""
        frozen, other = Gate(), Gate()

        async def fail_late(event: Event, context: Context) -> None:
            await frozen(event, context)
            raise PermanentFailure("too late")

        async def gate(event: Event, context: Context) -> None:
            await other(event, context)

        late, new = outside(fail_late), outside(gate)
        await desk.router(of_logins(new)).handle(messages(event := login()))
        as_gate = of_logins(type(late)("gate", late.run))

        async with desk.running(as_gate):
            await frozen.entered.wait()
            await _execute(desk, "delete from lease_owners")
            async with desk.running(of_logins(new), schedule=LASTING):
                await other.entered.wait()
                frozen.may_leave.set()
                await eventually(lambda: frozen.left, what="the late end")
                other.may_leave.set()
                await desk.eventually_tasks(0)

        assert other.left == [event.id]
        assert await desk.world.count("dead_letters") == 0


@asynccontextmanager
async def _guests(desk: Desk, group: Group, chance: random.Random) -> AsyncIterator[None]:
    """Two runners that take a share now and then, and give it back."""
    is_over = False

    async def come_and_go() -> None:
        while not is_over:
            leases = desk.leases()
            async with desk.running(group, leases=leases, schedule=LASTING):
                for _ in range(chance.randrange(1, 6)):
                    await leases.beat()

    async with asyncio.TaskGroup() as guests:
        for _ in range(2):
            guests.create_task(come_and_go())
        yield
        is_over = True


async def _run_worker_that_dies(desk: Desk) -> int | None:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).parents[2] / "dying_worker.py"), desk.config.database.url
    )
    return await worker.wait()


async def _execute(desk: Desk, query: Any, *parameters: Any) -> None:
    async with desk.world.database.transaction() as tx:
        await tx.execute(query, parameters)
