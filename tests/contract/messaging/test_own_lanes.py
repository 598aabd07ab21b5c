"""Outside handlers that wait for their time, and those with lanes of their own."""

import asyncio
from collections import Counter

import pytest
from harness import World, eventually
from receiving import Desk, login, messages, update

from usercenter.events import UserLoggedIn, UserUpdated, new_id
from usercenter.messaging.groups import Context, Group, NotYet, RetryLater, outside, record


@pytest.fixture
async def desk(world: World) -> Desk:
    desk = Desk(world)
    await desk.open()
    return desk


async def test_a_handler_whose_time_has_not_come_is_called_again_and_no_attempt_counts(desk: Desk) -> None:
    attempts: list[int] = []

    async def patient(event: UserLoggedIn, context: Context) -> None:
        attempts.append(context.attempt)
        if len(attempts) < 10:
            raise NotYet(0.01)

    group = Group("patient", "user_events", {UserLoggedIn: (outside(patient),)})
    await desk.router(group).handle(messages(login()))
    async with desk.running(group):
        await eventually(lambda: desk.world.count("tasks"), lambda number: number == 0, what="the end of the task")

    assert attempts == [1] * 10
    assert await desk.world.count("dead_letters") == 0


async def test_a_receiver_that_says_when_to_come_back_is_left_alone_until_then(desk: Desk) -> None:
    class Busy(RetryLater):
        retry_after_seconds = 3600.0

    async def knock(event: UserLoggedIn, context: Context) -> None:
        raise Busy

    group = Group("knocking", "user_events", {UserLoggedIn: (outside(knock),)})
    await desk.router(group).handle(messages(login()))
    async with desk.running(group):
        waits = await eventually(
            lambda: desk.world.rows(
                "select attempts, extract(epoch from next_attempt_at - now()) from tasks where last_error is not null"
            ),
            what="the failure",
        )

    assert waits[0][0] == 1
    assert 3500 < waits[0][1] <= 3600


async def test_a_slow_lane_of_an_event_holds_up_no_other_and_each_keeps_its_order(desk: Desk) -> None:
    release = asyncio.Event()
    calls: list[tuple[str, str]] = []

    async def lanes(events, tx, context):
        return {event.id: ["slow", "quick"] if event.username != "nobody" else [] for event in events}

    async def deliver(event: UserUpdated, context: Context) -> None:
        if context.lane == "slow":
            await release.wait()
        calls.append((context.lane, event.changes["n"]))

    user = new_id()
    group = Group("delivering", "user_events", {UserUpdated: (outside(deliver, lanes=lanes),)})
    events = [update(user, changes={"n": str(number)}) for number in range(5)]
    await desk.router(group).handle(messages(*events, update(user, username="nobody")))
    assert await desk.world.count("tasks") == 10
    async with desk.running(group):
        await eventually(lambda: len(calls), lambda number: number == 5, what="the quick lane")
        assert calls == [("quick", str(number)) for number in range(5)]
        release.set()
        await eventually(lambda: desk.world.count("tasks"), lambda number: number == 0, what="the slow lane")

    assert calls[5:] == [("slow", str(number)) for number in range(5)]


async def test_events_of_an_erased_user_reach_no_handler(desk: Desk) -> None:
    seen: list[object] = []

    async def note(events, tx, context):
        seen.extend(event.user_id for event in events)

    erased, other = new_id(), new_id()
    await desk.world.rows(
        "insert into erasures values (%s, %s, 'owner', now(), null) returning user_id", erased, new_id()
    )
    group = Group("noting", "user_events", {UserLoggedIn: (record(note),)})
    await desk.router(group).handle(messages(login(erased), login(other)))

    assert seen == [other]


async def test_a_receiver_with_as_many_calls_as_it_bears_keeps_nobody_waiting_and_no_attempt_counts(
    world: World,
) -> None:
    desk = Desk(world, window=10, concurrent_lanes=4)
    release = asyncio.Event()
    attempts: list[int] = []
    calls: list[str] = []

    async def lanes(events, tx, context):
        return {event.id: ["slow", "quick"] for event in events}

    async def deliver(event: UserUpdated, context: Context) -> None:
        if context.lane == "slow":
            attempts.append(context.attempt)
            await release.wait()
        calls.append(context.lane)

    handler = outside(deliver, lanes=lanes, concurrent=lambda context: 2)
    group = Group("delivering", "user_events", {UserUpdated: (handler,)})
    await desk.router(group).handle(messages(*(update(new_id()) for _ in range(12))))
    async with desk.running(group):
        await eventually(lambda: calls.count("quick"), lambda number: number == 12, what="the quick receiver")
        begun = await world.rows("select count(*) from tasks where handler = 'deliver/slow' and attempts > 0")
        assert begun == [(len(attempts),)]
        assert 0 < len(attempts) <= 2
        release.set()
        await eventually(lambda: desk.world.count("tasks"), lambda number: number == 0, what="the slow receiver")

    assert attempts == [1] * 12
    assert calls.count("slow") == 12


async def test_of_two_runners_each_calls_a_receiver_as_often_as_it_bears(desk: Desk) -> None:
    under_way: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def deliver(event: UserUpdated, context: Context) -> None:
        name = "both"
        under_way[name] += 1
        most[name] = max(most[name], under_way[name])
        await asyncio.sleep(0)
        under_way[name] -= 1

    group = Group("delivering", "user_events", {UserUpdated: (outside(deliver, concurrent=lambda context: 2),)})
    users = [new_id() for _ in range(20)]
    await desk.router(group).handle(messages(*(update(user) for user in users * 2)))
    async with desk.running(group), desk.running(group):
        await desk.eventually_tasks(0)

    assert 0 < most["both"] <= 4
