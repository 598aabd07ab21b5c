"""F1: SIGKILL of api, relay and workers at random moments under load. Nothing is lost, every effect happens once."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from faults.crew import Crew, crew
from faults.ledger import Allowed, check
from faults.load import Clients
from faults.report import Figures
from harness import World, eventually

CREW = ("api", "relay", "worker.1", "worker.2")
AT_ONCE = (1, 1, 1, 2, 2, 4)
"""How many processes are killed at one moment, by equal chances."""
KILLS_IN_A_ROUND = 20


class Round(NamedTuple):
    """One of the rounds of a long run."""

    number: int
    kills: int
    like_it: int
    """How many rounds there are with so many kills."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`make faults ARGS="--kills 60"` makes three rounds instead of ten."""
    if "round_" in metafunc.fixturenames:
        rounds = rounds_of(metafunc.config.getoption("--kills", default=200))
        metafunc.parametrize("round_", rounds, ids=[str(each.number) for each in rounds])


def rounds_of(kills: int) -> list[Round]:
    """Rounds with so many kills in all."""
    whole, rest = divmod(kills, KILLS_IN_A_ROUND)
    full = [Round(number, KILLS_IN_A_ROUND, whole) for number in range(whole)]
    return [*full, Round(whole, rest, 1)] if rest else full


def test_the_rounds_have_so_many_kills_in_all() -> None:
    assert [each.kills for each in rounds_of(60)] == [20, 20, 20]
    assert rounds_of(45) == [Round(0, 20, 2), Round(1, 20, 2), Round(2, 5, 1)]
    assert rounds_of(7) == [Round(0, 7, 1)]


@pytest.mark.fault("F1")
async def test_six_kills_under_load(
    world: World, clients: Callable[..., Clients], file: Path, seed: int, figures: Figures
) -> None:
    chance = random.Random(seed)  # noqa: S311  # repeatable, not secret
    await kill(world, clients, file, chance, figures, kills=6)


@pytest.mark.long
@pytest.mark.fault("F1")
async def test_many_kills_under_load(
    world: World,
    clients: Callable[..., Clients],
    file: Path,
    seed: int,
    figures: Figures,
    *,
    round_: Round,
) -> None:
    chance = random.Random(f"{seed}/{round_.number}")  # noqa: S311  # repeatable, not secret
    await kill(world, clients, file, chance, figures, kills=round_.kills, rounds=round_.like_it)


async def kill(
    world: World,
    clients: Callable[..., Clients],
    file: Path,
    chance: random.Random,
    figures: Figures,
    *,
    kills: int,
    rounds: int = 1,
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
    figures.note(how, rounds=rounds, kills=killed, tally=tally, recoveries=recoveries)


async def kill_and_recover(world: World, processes: Crew, victims: list[str]) -> float:
    """Kill them, start them again; returns the seconds until the outbox and the first group are done with what was."""
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
