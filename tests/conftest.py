"""The parts that all tests share, started once; and a world of its own for each test that asks for one."""

import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from broom import sweep
from canaries import CANARIES
from harness import World, config_of, execute, new_database, with_database
from msgspec.structs import replace

from usercenter import logs, migrations
from usercenter.config.model import Config, Embedded, Logging
from usercenter.db import Database
from usercenter.embedded.parts import Running, running

TEMPLATE = "usercenter_template"
LOGS = pytest.StashKey[Path]()


@pytest.fixture(scope="session", autouse=True)
def _logs(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> None:
    folder = pytestconfig.stash[LOGS] = tmp_path_factory.mktemp("logs")
    logs.configure(Logging(file=str(folder / "usercenter.log"), backups=50), to_stderr=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """No secret that a test used stands in what the service said; else the run has failed."""
    folder = session.config.stash.get(LOGS, None)
    if folder is None:
        return
    CANARIES.hear_files(sorted(folder.glob("usercenter.log*")))
    if leaks := CANARIES.leaks():
        print("\nsecrets were said:", *leaks, sep="\n  ")  # noqa: T201
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
async def parts(pytestconfig: pytest.Config) -> AsyncIterator[Running]:
    """Real PostgreSQL, Apache Kafka, Valkey and a mail catcher, with a migrated template database.

    Nobody pulls the plug of this machine: a killed PostgreSQL finds what it wrote, although it has not waited for the
    disk. The run that is written down as docs/reliability.md waits for it all the same.
    """
    # Not pytest's own folder: each other pytest of root that starts closes it to PostgreSQL's user.
    with folder_of_many_files("usercenter-parts-") as folder:
        config = Config(embedded=Embedded(is_enabled=True, data_dir=folder), logging=Logging(file=""))
        async with running(config, announce=print) as started:
            if not pytestconfig.getoption("--reliability", default=False):
                do_not_wait_for_the_disk(started.config.database.url)
            execute(started.config.database.url, f"create database {TEMPLATE}")
            migrations.upgrade(with_database(started.config.database.url, TEMPLATE))
            yield started
            await drop_the_stores(started)


@contextmanager
def folder_of_many_files(prefix: str) -> Iterator[str]:
    """A temporary folder that is gone afterwards; Python's own way to remove a thousand databases takes a minute."""
    folder = tempfile.mkdtemp(prefix=prefix)
    try:
        yield folder
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)  # noqa: S603, S607  # a folder of ours


async def drop_the_stores(parts: Running) -> None:
    """Nobody reads hundreds of databases and topics again: to write them out would take half a minute."""
    for store in (parts.kafka, parts.postgres):
        if store is not None:
            await store.kill()


def do_not_wait_for_the_disk(url: str) -> None:
    """And do not go round among the hundreds of databases that tests leave behind all the time."""
    for setting in ("fsync = off", "autovacuum_naptime = '5min'"):
        execute(url, f"alter system set {setting}")
    execute(url, "select pg_reload_conf()")


@pytest.fixture
async def world(parts: Running) -> AsyncIterator[World]:
    """A database and topics for one test alone."""
    config = config_of(parts, new_database(parts, TEMPLATE))
    database = Database(replace(config.database, pool_min=1, pool_max=4))
    await database.open()
    try:
        yield World(parts, config, database)
    finally:
        await database.close()
        sweep(config)
