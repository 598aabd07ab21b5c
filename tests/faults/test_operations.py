"""F12: redrive and replay under load, killed halfway and started twice at once. Each letter and each event once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
from faults.crew import Crew
from faults.fragile import HANDLERS, TABLES
from faults.ledger import Allowed, check
from faults.load import Clients
from faults.report import Figures
from faults.shell import Command, command
from harness import World, eventually
from msgspec.structs import replace

from usercenter.config.model import Config
from usercenter.messaging.operations.replays import STALE_SECONDS

pytestmark = pytest.mark.fault("F12")

ROOT = Path(__file__).parents[2]
PATH = {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'src'}"}
REDRIVE = ("dead-letters", "redrive", "--yes", "--stop-at", "100", "--patience", "60")
REPLAY = ("replay", *(word for name in HANDLERS for word in ("--once-too", name, "--handler", name)), "--yes")
HABITS = {"clerks": 4, "pause_seconds": 0.1, "register": 0, "delete": 0, "log_in": 1, "update": 20, "password": 0}
"""Users who stay, and change: the events of one who has gone have no effect any more."""

Effect = tuple[str, UUID]
"""Handler and event."""
Begin = Callable[..., AbstractAsyncContextManager[Command]]


@pytest.mark.long
async def test_a_redrive_under_load_killed_once_and_started_twice_gives_back_each_letter_once(
    world: World, clients: Callable[..., Clients], file: Path, figures: Figures
) -> None:
    await redrive(world, clients, file, figures, letters=40, kills=1)


async def test_a_replay_under_load_killed_once_and_started_twice_does_each_event_once(
    world: World, clients: Callable[..., Clients], file: Path, figures: Figures
) -> None:
    async def refused_and_then_as_if_silent_for_long(begin: Begin, arguments: Sequence[str]) -> None:
        await world.rows(
            "update replays set beat_at = now() + interval '2 minutes' returning 1"
        )  # a slow shell is early
        async with begin(*arguments) as early:
            status, said = await early.ended(timeout_seconds=120)
        assert status != 0
        assert "another process is at replay" in said
        await world.rows("update replays set beat_at = now() - make_interval(secs => %s) returning 1", STALE_SECONDS)

    await replay(world, clients, file, figures, events=24, kills=1, then=refused_and_then_as_if_silent_for_long)


@pytest.mark.long
async def test_a_redrive_of_many_letters_killed_five_times_gives_back_each_letter_once(
    world: World, clients: Callable[..., Clients], file: Path, figures: Figures
) -> None:
    await redrive(world, clients, file, figures, letters=300, kills=5)


@pytest.mark.long
async def test_a_replay_of_many_events_killed_three_times_does_each_event_once(
    world: World, clients: Callable[..., Clients], file: Path, figures: Figures
) -> None:
    async def until_another_may_take_over(*_: object) -> None:
        await eventually(
            lambda: world.value("select clock_timestamp() - max(beat_at) from replays"),
            lambda silent: silent.total_seconds() > STALE_SECONDS,
            what="the silence after which another process may take over",
        )

    await replay(world, clients, file, figures, events=150, kills=3, then=until_another_may_take_over)


async def redrive(
    world: World, clients: Callable[..., Clients], file: Path, figures: Figures, *, letters: int, kills: int
) -> None:
    """Handlers fail, are mended, and their letters given back by redrives that are killed, then by two at once."""
    async with service(world) as (processes, begin):
        async with clients(processes.doors, **HABITS).at_work():
            await until(world, "select count(*) from dead_letters", letters, what="letters")
            await mend(world)
            for number in range(1, kills + 1):
                share = letters * number // (kills + 2)
                async with begin(*REDRIVE, "--canary", "5", "--rate", "40") as killed:
                    await until(world, SETTLED, share, what="letters given back")
                    await killed.kill()
                assert await world.value(OPEN), "all were given back before the kill: it proves nothing"
            async with begin(*REDRIVE, "--rate", "200") as one, begin(*REDRIVE, "--rate", "150") as other:
                ends = await asyncio.gather(*(each.ended(timeout_seconds=120) for each in (one, other)))
            assert [status for status, _ in ends] == [0, 0], ends
        allowed = Allowed(dead_letters=await world.count("dead_letters"))
        tally = await check(world, file, allowed=allowed, timeout_seconds=120)

    assert await world.value(OPEN) == 0
    assert await world.value("select sum((counts->>'retried')::int) from operations where kind = 'redrive'") == (
        await world.count("dead_letters")
    )
    assert await times(world) == dict.fromkeys(await changes(world), 1)
    letters_of = {(row[0], row[1]) for row in await world.rows("select handler, event_id from dead_letters")}
    assert await disorder(world, letters_of) == []
    assert await disorder(world, (await times(world)).keys() - letters_of) == []
    figures.note(f"redrives of {letters} letters killed {kills} times, then two at once", kills=kills, tally=tally)


async def replay(
    world: World,
    clients: Callable[..., Clients],
    file: Path,
    figures: Figures,
    *,
    events: int,
    kills: int,
    then: Callable[[Begin, Sequence[str]], Awaitable[None]],
) -> None:
    """Handlers that have had their effect are run again by a replay that is killed, `then` taken over by one of two."""
    async with service(world) as (processes, begin):
        await mend(world)
        async with clients(processes.doors, **HABITS).at_work():
            await until(world, "select count(*) / 2 from effects", events, what="effects")
            had_effect = set(await times(world))
            arguments: Sequence[str] = (*REPLAY, "--rate", "10")
            for number in range(1, kills + 1):
                async with begin(*arguments) as killed:
                    share = events * number // (kills + 2)
                    await until(world, "select coalesce(max(position), 0) from replays", share, what="events replayed")
                    await killed.kill()
                id_, total = (await world.rows("select operation_id, total from replays"))[0]
                arguments = ("replay", "resume", str(id_))
                await then(begin, arguments)
            selected = {row[0] for row in await world.rows("select event_id from replay_events")}
            await world.rows("update replays set rate = null returning 1")
            async with begin(*arguments) as one, begin(*arguments) as other:
                ends = await asyncio.gather(*(each.ended(timeout_seconds=120) for each in (one, other)))
            assert sorted(bool(status) for status, _ in ends) == [False, True], ends
        tally = await check(world, file, timeout_seconds=120)

    assert len(selected) == total
    assert await world.rows("select position, done, failed, skipped from replays") == [(total, total, 0, 0)]
    assert await world.rows("select distinct state from operations where kind = 'replay'") == [("done",)]
    assert await times(world) == {(name, id): 2 if id in selected else 1 for name, id in await changes(world)}
    assert await disorder(world, had_effect, nth=1) == []
    assert await disorder(world, had_effect, nth=2) == []
    figures.note(f"replays of {events} events killed {kills} times, then two at once", kills=kills, tally=tally)


@asynccontextmanager
async def service(world: World) -> AsyncIterator[tuple[Crew, Begin]]:
    """The service with handlers that are out of order, and an operator's shell for it."""
    for statement in TABLES.split(";"):
        async with world.database.transaction() as tx:
            await tx.execute(statement)
    config = fragile(world.config)
    found = Crew(world, config=config)
    try:
        await found.start("api,relay,worker", environment=PATH)
        yield found, lambda *arguments: command(config, *arguments, environment=PATH)
    finally:
        await found.close()


def fragile(config: Config) -> Config:
    """With the extension, whose failures do not stop the group; nobody kills the service, so its leases are long."""
    limits = replace(config.limits, dead_in_a_row=100_000, window_events=100_000)
    tasks = replace(config.tasks, lease_seconds=30)
    return replace(config, extensions=["faults.fragile"], limits=limits, tasks=tasks)


async def mend(world: World) -> None:
    await world.rows("delete from outages returning 1")


async def until(world: World, query: str, number: int, *, what: str) -> None:
    """Wait until the query counts so many."""
    await eventually(lambda: world.value(query), lambda n: n >= number, what=f"{number} {what}", timeout_seconds=240)


async def changes(world: World) -> list[Effect]:
    """Each effect that there has to be: handler and event."""
    rows = await world.rows("select id from event_log where type = 'user.updated'")
    return [(name, row[0]) for name in HANDLERS for row in rows]


async def times(world: World) -> Counter[Effect]:
    """How often each effect happened."""
    return Counter((row[0], row[1]) for row in await world.rows("select handler, event_id from effects"))


async def disorder(world: World, effects: Collection[Effect], *, nth: int = 1) -> list[tuple[str, UUID]]:
    """The lanes in which these effects, each for the nth time, did not happen in the order of the user's events."""
    by_lane: dict[tuple[str, UUID], list[int]] = {}
    for handler, event_id, user_id, sequence in await world.rows(NTH, nth):
        if (handler, event_id) in effects:
            by_lane.setdefault((handler, user_id), []).append(sequence)
    assert by_lane, "nothing to compare"
    return [lane for lane, sequences in by_lane.items() if sequences != sorted(sequences)]


OPEN = "select count(*) from dead_letters where settled_at is null"
SETTLED = "select count(*) from dead_letters where settled_at is not null"
NTH = """
select handler, id, user_id, sequence from (
    select e.n, e.handler, l.id, l.user_id, l.sequence, row_number() over (partition by e.handler, l.id order by e.n)
    from effects e join event_log l on l.id = e.event_id
) o where row_number = %s order by n
"""
