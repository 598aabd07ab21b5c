"""A runner leaves alone what cannot work: a handler whose other side is down, and one that stopped itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness import World, eventually
from msgspec.structs import replace
from receiving import Desk, Effects, login, messages

from usercenter.clock import HeldClock
from usercenter.config.model import Limits
from usercenter.events import UserLoggedIn
from usercenter.messaging import stops
from usercenter.messaging.groups import Group, PermanentFailure, Schedule, outside
from usercenter.messaging.open_breakers import OpenBreaker

PATIENT = Schedule(attempts=5, first_seconds=0.01, longest_seconds=0.02)


@pytest.fixture
async def desk(world: World) -> Desk:
    desk = Desk(world, breaker_failures=3, breaker_seconds=30, concurrent_lanes=2)
    desk.config = replace(desk.config, limits=Limits(dead_in_a_row=3))
    await desk.open()
    return desk


def of_logins(*handlers: Any) -> Group:
    return Group("usercenter", "user_events", {UserLoggedIn: handlers})


async def attempts_of(desk: Desk, handler: str) -> int:
    """The attempts that its tasks have had."""
    return int(await desk.world.value("select sum(attempts) from tasks where handler = %s", handler))


def gauge(desk: Desk, handler: str) -> float | None:
    return desk.metrics.registry.get_sample_value("usercenter_breaker_open", {"handler": handler})


async def test_no_attempts_are_burned_while_the_other_side_is_down_and_one_probes_then(desk: Desk) -> None:
    clock = HeldClock(datetime.now(UTC))
    desk.context = replace(desk.context, clock=clock)
    effects, events = Effects(), [login() for _ in range(12)]
    is_down = True
    effects.fails = lambda handler, event: ConnectionError("down") if is_down and handler == "send" else None
    group = of_logins(outside(effects.outside("send")), outside(effects.outside("other")))
    leases = desk.leases(clock=clock, lease_seconds=600)
    async with desk.running(group, schedule=PATIENT, leases=leases) as runner:
        await desk.router(group).handle(messages(*events))
        await eventually(lambda: gauge(desk, "send"), lambda n: n == 1, what="an open breaker")
        await eventually(lambda: len(effects.called(*events)), lambda n: n == 12, what="all of the other handler")
        burned = await attempts_of(desk, "send")
        assert burned <= 4, "three that opened it, and one that was under way"
        assert runner.problems() == []
        assert runner.notes() == ["handler send: its other side fails, tried again in 30 s"]
        opened = clock.now()
        half_a_minute = timedelta(seconds=30)
        assert runner.open_breakers() == [OpenBreaker(handler="send", since=opened, next_try_at=opened + half_a_minute)]

        clock.advance(timedelta(seconds=30))
        await eventually(
            lambda: attempts_of(desk, "send"), lambda n: n == burned + 1, what="one probe, whatever else is due"
        )
        await eventually(runner.notes, lambda notes: "60 s" in notes[0], what="twice the wait")
        assert [each.since for each in runner.open_breakers()] == [opened]
        is_down = False
        clock.advance(timedelta(seconds=60))
        await desk.eventually_tasks(0)

        assert gauge(desk, "send") == 0
        assert runner.notes() == []
    assert await desk.world.count("dead_letters") == 0


async def test_a_handler_with_lanes_of_its_own_has_a_breaker_for_each(desk: Desk) -> None:
    effects, events = Effects(), [login() for _ in range(4)]

    async def call(event: Any, context: Any) -> None:
        if context.lane == "slow":
            raise ConnectionError("down")
        effects.calls.append(("call", event.id))

    async def lanes(found: Any, tx: Any, context: Any) -> dict[Any, list[str]]:
        return {event.id: ["slow", "quick"] for event in found}

    group = of_logins(outside(call, lanes=lanes))
    async with desk.running(group, schedule=PATIENT) as runner:
        await desk.router(group).handle(messages(*events))
        await eventually(runner.notes, what="an open breaker")
        await eventually(lambda: len(effects.called(*events)), lambda n: n == 4, what="the other receiver's calls")
        assert runner.notes()[0].startswith("handler call/slow: its other side fails")


async def test_a_permanent_failure_says_nothing_of_the_other_side(desk: Desk) -> None:
    desk.config = replace(desk.config, limits=Limits())
    effects = Effects()
    effects.fails = lambda handler, event: PermanentFailure("no such address")
    group = of_logins(outside(effects.outside("send")))
    await desk.router(group).handle(messages(*[login() for _ in range(6)]))

    await desk.all_done(group)

    assert await desk.world.count("dead_letters") == 6
    assert gauge(desk, "send") == 0


async def test_a_handler_that_gives_too_much_up_stops_and_goes_on_when_it_is_resumed(desk: Desk) -> None:
    effects = Effects()
    effects.fails = lambda handler, event: (
        PermanentFailure("a bad deployment") if is_bad and handler == "send" else None
    )
    is_bad = True
    group = of_logins(outside(effects.outside("send")), outside(effects.outside("other")))
    events = [login() for _ in range(40)]
    await desk.router(group).handle(messages(*events))

    async with desk.running(group) as runner:
        await eventually(runner.problems, what="a stop")
        await eventually(lambda: len(effects.called(*events)), lambda n: n == 40, what="all of the other handler")
        [problem] = runner.problems()
        assert problem.startswith("handler send is stopped, because ")
        assert problem.endswith("dead letters in a row (limits.dead_in_a_row: 3); mend it, then run "
                                "`usercenter groups resume send`")  # fmt: skip
        dead = await desk.world.count("dead_letters")
        assert 3 <= dead < 40
        is_bad = False
        async with desk.database.transaction() as tx:
            assert await stops.remove(tx, "send")
        await desk.eventually_tasks(0)
        assert await desk.world.count("dead_letters") == dead
        assert runner.problems() == []
