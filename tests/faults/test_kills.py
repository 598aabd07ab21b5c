"""F1: SIGKILL of api, relay and workers at random moments under load. Nothing is lost, every effect happens once."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.crew import Crew, crew
from faults.ledger import Allowed, check
from faults.load import Clients
from faults.report import Figures
from harness import World, eventually

pytestmark = pytest.mark.fault("F1")

CREW = ("api", "relay", "worker.1", "worker.2")
AT_ONCE = (1, 1, 1, 2, 2, 4)
"""How many processes are killed at one moment, by equal chances."""
ROUNDS, KILLS = 10, 20


async def test_six_kills_under_load(
    world: World, clients: Callable[..., Clients], file: Path, seed: int, figures: Figures
) -> None:
    await kill(world, clients, file, random.Random(seed), figures, kills=6)  # noqa: S311  # repeatable, not secret


@pytest.mark.long
@pytest.mark.parametrize("number", range(ROUNDS))
async def test_two_hundred_kills_under_load(
    world: World,
    clients: Callable[..., Clients],
    file: Path,
    seed: int,
    figures: Figures,
    *,
    number: int,
) -> None:
    chance = random.Random(f"{seed}/{number}")  # noqa: S311  # repeatable, not secret
    await kill(world, clients, file, chance, figures, kills=KILLS)


async def kill(
    world: World, clients: Callable[..., Clients], file: Path, chance: random.Random, figures: Figures, *, kills: int
) -> None:
    recoveries: list[float] = []
    killed = 0
    async with crew(world, *CREW) as processes:
        load = clients(processes.doors, pause_seconds=0.05)
        async with load.at_work():
            while killed < kills:
                moment = load.begun + chance.randint(1, 30)
                await eventually(
                    lambda: load.begun,
                    lambda begun, moment=moment: begun >= moment,
                    what="the moment",
                    timeout_seconds=120,
                )
                victims = chance.sample(CREW, min(chance.choice(AT_ONCE), kills - killed))
                recoveries.append(await kill_and_recover(world, processes, victims))
                killed += len(victims)
        tally = await check(world, file, allowed=Allowed(mails_twice=True), timeout_seconds=120)
    how = f"{kills} kills in each round, of 1 to 4 of the 4 processes at a moment"
    figures.note(how, kills=killed, tally=tally, recoveries=recoveries)


async def kill_and_recover(world: World, processes: Crew, victims: list[str]) -> float:
    """Kill them, start them again; returns the seconds until what was committed before has had its effects."""
    began, moment = time.monotonic(), await world.value("select clock_timestamp()")
    await processes.kill(*victims)
    await processes.start(*victims)
    await eventually(
        lambda: world.value(UNHANDLED, moment, moment),
        lambda n: n == 0,
        what=f"recovery from {victims}",
        timeout_seconds=120,
    )
    return time.monotonic() - began


UNHANDLED = """
select (select count(*) from outbox where created_at < %s) + (
    select count(*) from event_log l where created_at < %s and not exists (
        select 1 from inbox i where i.event_id = l.id and i.group_name like '%%.usercenter'
    )
)
"""
