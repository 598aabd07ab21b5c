"""Tasks called before their time."""

from harness import eventually
from receiving import Schedule, login, messages

from usercenter.events import new_id
from usercenter.messaging.groups import outside
from usercenter.messaging.operations import audit, task_queries, tasks
from usercenter.messaging.operations.selection import Filter

SLOW = Schedule(attempts=5, first_seconds=1_000, longest_seconds=1_000)


PARKED = "select count(*) from tasks where last_error is not null"


async def _park(office, group, *events) -> None:
    office.done.fails = lambda handler, event: OSError("away")
    await office.router(group).handle(messages(*events))
    before = await office.world.value(PARKED)
    users = len({event.user_id for event in events})
    async with office.running(group, schedule=SLOW):
        await eventually(
            lambda: office.world.value(PARKED),
            lambda number: number == before + users,
            what="the heads parked",
        )
    office.mended()


async def _freeze(office, **facts):
    async with office.world.database.transaction() as tx:
        return await task_queries.freeze(tx, Filter(**facts))


async def test_parked_lanes_are_done_now_and_in_order(office) -> None:
    group, user = office.of_logins(outside(office.done.outside("send"))), new_id()
    events = [login(user) for _ in range(5)]
    await _park(office, group, *events, other := login())

    selection = await _freeze(office, user=user)
    called = await tasks.retry_now(office.database, selection, by="ops", reason="mended")
    async with office.running(group, schedule=SLOW):
        await office.eventually_tasks(1)

    assert (selection.count, called) == (1, 1)
    assert office.done.called(*events, other) == [event.id for event in events]
    async with office.world.database.transaction() as tx:
        [operation] = await audit.latest(tx)
    assert (operation.kind, operation.counts, operation.reason) == ("tasks.retry_now", {"lanes": 1}, "mended")


async def test_lanes_that_were_parked_afterwards_are_not_in_the_selection(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")))
    await _park(office, group, login())
    selection = await _freeze(office)
    await _park(office, group, login(), login())

    assert await tasks.retry_now(office.database, selection, by="ops") == 1
    assert await tasks.retry_now(office.database, selection, by="ops") == 0


async def test_only_the_head_of_a_lane_can_be_called(office) -> None:
    group, user = office.of_logins(outside(office.done.outside("send"))), new_id()
    await _park(office, group, login(user), login(user))
    first, second = [row[0] for row in await office.world.rows("select position from tasks order by 1")]

    assert await tasks.retry_now(office.database, await _freeze(office, id=second), by="ops") == 0
    assert await tasks.retry_now(office.database, await _freeze(office, id=first), by="ops") == 1
    assert await office.world.value("select bool_and(next_attempt_at <= now()) from tasks")


async def test_tasks_are_found_by_their_state(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")))
    await _park(office, group, parked := login())
    await office.router(group).handle(messages(waiting := login()))

    async def found(**facts) -> list:
        async with office.world.database.transaction() as tx:
            return [task.event_id for task in await task_queries.find(tx, Filter(**facts), limit=10)]

    assert await found(state="parked") == [parked.id]
    assert await found(state="waiting") == [waiting.id]
    assert await found(handler="send") == [waiting.id, parked.id]
    assert await found(handler="write") == []
