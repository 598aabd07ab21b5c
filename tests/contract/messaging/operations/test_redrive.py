"""Redrive: a canary first, the rest at a rate, and an end when too much fails again."""

import asyncio

import pytest
from harness import eventually
from receiving import QUICK, login, messages

from usercenter.db import Signal
from usercenter.events import new_id
from usercenter.messaging.groups import Schedule, outside, record
from usercenter.messaging.operations import audit
from usercenter.messaging.operations.redrive import Plan, Redrive

SLOW = Schedule(attempts=5, first_seconds=1_000, longest_seconds=1_000)


def redrive(office, group, *, tell=lambda progress: None, pause=None, **plan) -> Redrive:
    """One that pauses for a moment where others pause for the rate."""
    moment = Signal()

    async def short(seconds: float) -> None:
        await moment.wait(0.01)

    return Redrive(office.database, returns=office.returns(group), plan=Plan(**plan), tell=tell, pause=pause or short)


async def _operation(office) -> audit.Operation:
    async with office.world.database.transaction() as tx:
        return (await audit.latest(tx, kind="redrive"))[0]


async def test_everything_passes_and_is_counted(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")), record(office.done.record("write")))
    events = [login() for _ in range(40)]
    await office.die(group, *events)
    seen = []

    async with office.running(group):
        progress = await redrive(office, group, tell=seen.append).run(await office.select("redrive"), by="ops")

    assert progress.states == {"waiting": 0, "held": 0, "failing": 0, "dead": 0, "passed": 80}
    assert next(each.phase for each in seen) == "canary"
    assert max(each.given_back for each in seen if each.phase == "canary") == 10
    operation = await _operation(office)
    assert (operation.state, operation.by) == ("done", "ops")
    assert operation.counts == {
        "retried": 80,
        "refused": 0,
        "waiting": 0,
        "held": 0,
        "failing": 0,
        "dead": 0,
        "passed": 80,
    }
    assert sorted(office.done.called(*events)) == sorted(event.id for event in events)


@pytest.mark.parametrize(("schedule", "state"), [(QUICK, "dead"), (SLOW, "failing")])
async def test_the_canary_stops_it_when_its_letters_fail_again(office, schedule, state) -> None:
    group = office.of_logins(outside(office.done.outside("send")))
    await office.die(group, *[login() for _ in range(50)])
    office.done.fails = lambda handler, event: OSError("still away")

    async with office.running(group, schedule=schedule):
        progress = await redrive(office, group, canary=5).run(await office.select("redrive"), by="ops")

    assert progress.given_back == 5
    assert "failed again, more than 5 %" in progress.stopped_because
    assert progress.states["passed"] == 0
    assert progress.states[state] + progress.states["failing"] >= 1
    assert (await _operation(office)).state == "stopped"
    assert await office.world.value("select count(*) from dead_letters where settled_how is null") >= 45


async def test_it_stops_later_as_well(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")))
    events = [login() for _ in range(100)]
    await office.die(group, *events)
    users = sorted(event.user_id for event in events)
    office.done.fails = lambda handler, event: OSError("away") if event.user_id in users[50:] else None

    async with office.running(group, schedule=SLOW):
        progress = await redrive(office, group, rate=10).run(await office.select("redrive"), by="ops")

    assert 50 < progress.given_back < 100
    assert progress.states["passed"] == 50


async def test_some_may_fail(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")))
    events = [login() for _ in range(40)]
    await office.die(group, *events)
    users = sorted(event.user_id for event in events)
    office.breaks(*[event for event in events if event.user_id in users[-4:]])

    async with office.running(group):
        progress = await redrive(office, group, stop_at_percent=10).run(await office.select("redrive"), by="ops")

    assert (progress.stopped_because, progress.states["passed"], progress.states["dead"]) == (None, 36, 4)


async def test_what_is_behind_a_failure_of_its_lane_is_not_waited_for(office) -> None:
    group, user = office.of_logins(outside(office.done.outside("send"))), new_id()
    await office.die(group, *[login(user) for _ in range(5)])
    office.done.fails = lambda handler, event: OSError("away")

    async with office.running(group, schedule=SLOW):
        progress = await redrive(office, group, stop_at_percent=100).run(await office.select("redrive"), by="ops")

    assert progress.stopped_because is None
    assert (progress.states["failing"], progress.states["held"]) == (1, 4)


async def test_without_a_worker_it_says_so(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")))
    await office.die(group, *[login() for _ in range(20)])

    progress = await redrive(office, group, patience_seconds=0.05).run(await office.select("redrive"), by="ops")

    assert "is a worker running" in progress.stopped_because
    assert progress.given_back == 10


async def test_interrupted_it_is_stopped_and_run_again_it_does_the_rest_once(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")))
    events = [login() for _ in range(60)]
    await office.die(group, *events)
    selection = await office.select("redrive")
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang(seconds: float) -> None:
        if first.progress.given_back > 20:
            reached.set()
            await never.wait()

    async with office.running(group):
        first = redrive(office, group, pause=hang)
        work = asyncio.create_task(first.run(selection, by="ops"))
        await reached.wait()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        interrupted = await _operation(office)
        second = await redrive(office, group).run(selection, by="ops")

    assert (interrupted.state, interrupted.finished_at is not None) == ("stopped", True)
    assert interrupted.counts["retried"] == first.progress.given_back
    assert first.progress.given_back + second.given_back == 60
    assert sorted(office.done.called(*events)) == sorted(event.id for event in events)


async def test_two_at_once_are_harmless(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")))
    user = new_id()
    events = [login(user) for _ in range(30)] + [login() for _ in range(70)]
    await office.die(group, *events)
    selection = await office.select("redrive")

    async with office.running(group):
        both = await asyncio.gather(*(redrive(office, group).run(selection, by=f"ops {n}") for n in range(2)))
        await office.router(group).handle(messages(last := login(user)))
        await eventually(lambda: office.done.called(last), what="a new event of that user")

    assert sum(progress.given_back for progress in both) == 100
    assert sorted(office.done.called(*events)) == sorted(event.id for event in events)


async def test_nothing_to_do_is_done_at_once(office) -> None:
    progress = await redrive(office, office.of_logins()).run(await office.select("redrive"), by="ops")

    assert (progress.selected, progress.phase, progress.stopped_because) == (0, "over", None)
