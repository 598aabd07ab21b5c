"""F16: SIGTERM under load. Each process ends with 0, nothing is lost, and nothing at all happens twice."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.crew import crew
from faults.ledger import check
from faults.load import Clients
from faults.report import Figures
from harness import World, eventually

pytestmark = pytest.mark.fault("F16")

CREW = ("api.1", "api.2", "relay", "worker")


@pytest.mark.long
async def test_each_process_told_to_stop_under_load_ends_with_0_and_doubles_nothing(
    world: World, clients: Callable[..., Clients], file: Path, seed: int, figures: Figures
) -> None:
    chance = random.Random(seed)  # noqa: S311  # repeatable, not secret
    async with crew(world, *CREW) as processes:
        load = clients(processes.doors, pause_seconds=0.02)
        async with load.at_work():
            for name in chance.sample(CREW, len(CREW)):
                moment = load.begun + chance.randint(10, 60)
                await eventually(lambda: load.begun, lambda begun, moment=moment: begun >= moment, what="the moment")
                assert await processes.stop(name) == 0, name
                await processes.start(name)
        tally = await check(world, file)

    assert (tally.duplicates, tally.mails_twice) == (0, 0)
    figures.note("SIGTERM to each of four processes in turn, under load", tally=tally)


async def test_a_process_with_every_role_told_to_stop_under_load_ends_with_0_and_doubles_nothing(
    world: World, clients: Callable[..., Clients], file: Path, figures: Figures
) -> None:
    everything = "api,relay,worker"
    async with crew(world, everything) as processes:
        load = clients(processes.doors, pause_seconds=0.02)
        async with load.at_work():
            for moment in (60, 120):
                await eventually(lambda: load.begun, lambda begun, moment=moment: begun >= moment, what="some load")
                assert await processes.stop(everything) == 0
                await processes.start(everything)
        tally = await check(world, file)

    assert (tally.duplicates, tally.mails_twice) == (0, 0)
    figures.note("SIGTERM to a process with every role, twice, under load", tally=tally)
