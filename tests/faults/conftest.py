"""The ground of the fault suite: seeds, worlds that recover quickly, clients with their file, and the figures."""

import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from faults.journal import Journal
from faults.load import Clients, Habits
from faults.page import PAGE, page
from faults.report import Figures, Report
from harness import World, config_of, fresh_database
from msgspec.structs import replace

from usercenter.config.model import Config
from usercenter.db import Database
from usercenter.embedded.parts import Running

REPORT = pytest.StashKey[Report]()
SEED = pytest.StashKey[int]()
LEFT_OUT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="the seed of the fault suite (or FAULTS_SEED)")
    parser.addoption("--reliability", action="store_true", help="write docs/reliability.md, after each test")
    parser.addoption("--go-on", action="store_true", help="only what did not pass in the last run; its figures stay")
    parser.addoption("--kills", type=int, default=200, help="how many processes F1 kills in all")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORT] = Report()
    config.stash[LEFT_OUT] = 0
    given = config.getoption("--seed", default=None)
    given = os.environ.get("FAULTS_SEED") if given is None else given
    config.stash[SEED] = secrets.randbelow(10**6) if given is None else int(given)


def pytest_report_header(config: pytest.Config) -> str:
    return f"faults: seed {config.stash[SEED]} (again with --seed {config.stash[SEED]} or FAULTS_SEED)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--go-on", default=False):
        passed = config.stash[REPORT].go_on()
        items[:] = [item for item in items if item.nodeid not in passed]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    result = yield
    mark = item.get_closest_marker("fault")
    if mark and (result.when == "call" or not result.passed):
        item.config.stash[REPORT].note_outcome(mark.args[0], item.nodeid, result.outcome)
    return result


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        item.config.stash[LEFT_OUT] += len(_faults([item]))


def pytest_collection_finish(session: pytest.Session) -> None:
    config = session.config
    planned = _faults(session.items)
    config.stash[REPORT].plan(planned, left_out=config.stash[LEFT_OUT], seed=config.stash[SEED])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Any:
    result = yield
    if item.config.getoption("--reliability", default=False):
        report = item.config.stash[REPORT]
        report.write(page(report.results), PAGE)
    return result


def _faults(items: Sequence[pytest.Item]) -> list[tuple[str, str]]:
    marks = [(item.get_closest_marker("fault"), item.nodeid) for item in items]
    return [(mark.args[0], test) for mark, test in marks if mark]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run, printed with a failure."""
    print(f"seed {request.config.stash[SEED]}")  # noqa: T201
    return request.config.stash[SEED]


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Where this test notes what it counted, for docs/reliability.md."""
    mark = request.node.get_closest_marker("fault")
    assert mark, "a fault test is marked: @pytest.mark.fault('F1')"
    return request.config.stash[REPORT].figures(mark.args[0], request.node.nodeid)


def quick(config: Config) -> Config:
    """Leases and tokens that suit a test of minutes: a dead process's work is taken over after two seconds."""
    return replace(
        config,
        relay=replace(config.relay, lease_seconds=2),
        tasks=replace(config.tasks, lease_seconds=2),
        tokens=replace(config.tokens, access_minutes=600),
        kafka=replace(
            config.kafka, consumer=replace(config.kafka.consumer, session_timeout_ms=2000, heartbeat_interval_ms=600)
        ),
    )


@pytest.fixture
async def world(parts: Running) -> AsyncIterator[World]:
    """A database and topics for one test alone, with a configuration that recovers quickly."""
    with fresh_database(parts) as url:
        config = quick(config_of(parts, url))
        database = Database(replace(config.database, pool_min=1, pool_max=4))
        await database.open()
        try:
            yield World(parts, config, database)
        finally:
            await database.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the clients of this test write down what they were told."""
    return tmp_path / "clients.jsonl"


@pytest.fixture
def clients(world: World, file: Path, seed: int) -> Callable[..., Clients]:
    """Clients of this world: `clients(crew.doors)`, with other habits `clients(crew.doors, clerks=1)`."""

    def make(doors: Callable[[], Sequence[str]], **habits: Any) -> Clients:
        return Clients(world, doors, Journal(file), seed=seed, habits=Habits(**habits))

    return make
