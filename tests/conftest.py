"""The parts that all tests share, started once; and a world of its own for each test that asks for one."""

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import in_memory
import pytest
import workers
from broom import sweep
from canaries import CANARIES
from harness import TEMPLATE, World, config_of, execute, fresh_database, with_database
from msgspec.structs import replace

from usercenter import logs, migrations
from usercenter.config.model import Config, Embedded, Logging
from usercenter.db import Database
from usercenter.embedded.parts import Running, running

LOGS = pytest.StashKey[Path]()
FIRST_COMPILER_ALONE = "-XX:TieredStopAtLevel=1"
"""Brokers that live for minutes: Java's second compiler takes a third of their time, and it never pays."""


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(workers, "workers")
    os.environ.setdefault("JDK_JAVA_OPTIONS", FIRST_COMPILER_ALONE)
    if not workers.told(config):
        in_memory.clear_away()


@pytest.fixture(scope="session", autouse=True)
def _logs(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> None:
    folder = pytestconfig.stash[LOGS] = tmp_path_factory.mktemp("logs")
    logs.configure(Logging(file=str(folder / "usercenter.log"), backups=50), to_stderr=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """No secret that a test used stands in what the service said; else the run has failed."""
    if folder := session.config.stash.get(LOGS, None):
        CANARIES.hear_files(sorted(folder.glob("usercenter.log*")))
    workers.tell(session, CANARIES.leaks())


@pytest.fixture(scope="session")
async def parts(pytestconfig: pytest.Config) -> AsyncIterator[Running]:
    """Real PostgreSQL, Apache Kafka, Valkey and a mail catcher, with a migrated template database.

    Nobody pulls the plug of this machine: a killed PostgreSQL finds what it wrote, although it has not waited for the
    disk. The run that is written down as docs/reliability.md waits for it all the same.
    """
    is_report = pytestconfig.getoption("--reliability", default=False)
    # Not pytest's own folder: each other pytest of root that starts closes it to PostgreSQL's user.
    place = None if is_report else in_memory.place()
    with tempfile.TemporaryDirectory(prefix=in_memory.PREFIX, dir=place) as folder:
        config = Config(embedded=Embedded(is_enabled=True, data_dir=folder), logging=Logging(file=""))
        async with running(config, announce=print) as started:
            if not is_report:
                do_not_wait_for_the_disk(started.config.database.url)
            execute(started.config.database.url, f"create database {TEMPLATE}")
            migrations.upgrade(with_database(started.config.database.url, TEMPLATE))
            yield started
            if started.kafka is not None:
                await started.kafka.kill()  # nobody reads its topics again: nothing has to be written out


def do_not_wait_for_the_disk(url: str) -> None:
    """And do not go round among the databases of tests that are over in seconds."""
    for setting in ("fsync = off", "autovacuum_naptime = '5min'"):
        execute(url, f"alter system set {setting}")
    execute(url, "select pg_reload_conf()")


@pytest.fixture
async def world(parts: Running) -> AsyncIterator[World]:
    """A database and topics for one test alone."""
    with fresh_database(parts) as url:
        config = config_of(parts, url)
        database = Database(replace(config.database, pool_min=1, pool_max=4))
        await database.open()
        try:
            yield World(parts, config, database)
        finally:
            await database.close()
            sweep(config)
