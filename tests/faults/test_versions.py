"""F14: the version before this one runs on while the schema moves, and beside this one afterwards."""

import asyncio
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from faults.ledger import check
from faults.load import Clients
from faults.report import Figures
from harness import Process, World, config_of, eventually, execute, with_database
from msgspec.structs import replace

from usercenter import migrations
from usercenter.config.model import Config
from usercenter.db import Database
from usercenter.embedded.parts import Running

BEFORE = "d810bd957f0b"
"""The commit of the version before this one (schema 0002); moves on with each release."""
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the version before, out of this clone's own history."""
    folder = tmp_path_factory.mktemp("before")
    archive = subprocess.run(  # noqa: S603  # our own repository
        ["git", "-C", str(ROOT), "archive", BEFORE, "src", "configs"],  # noqa: S607
        capture_output=True,
        check=False,
    )
    assert archive.returncode == 0, (
        f"this clone does not have the commit {BEFORE}, whose code runs beside today's: "
        f"git fetch --unshallow\n{archive.stderr.decode()}"
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@pytest.fixture
async def world(parts: Running) -> AsyncIterator[World]:
    """A world whose database is empty: the version before makes its own schema."""
    config = config_of(parts, "")
    name = f"before_{config.kafka.client_id}"
    execute(parts.config.database.url, f"create database {name}")
    config = replace(config, database=replace(config.database, url=with_database(parts.config.database.url, name)))
    database = Database(replace(config.database, pool_min=1, pool_max=4))
    await database.open()
    try:
        yield World(parts, config, database)
    finally:
        await database.close()


@pytest.mark.fault("F14")
async def test_the_version_before_works_through_the_migration_and_beside_this_one(
    world: World, before: Path, clients: Callable[..., Clients], file: Path, figures: Figures
) -> None:
    doors: list[str] = []
    load = clients(lambda: doors, clerks=3, pause_seconds=0.02)
    status, said = await old_command(before, world.config, "db", "upgrade")
    assert status == 0, said
    assert await asyncio.to_thread(migrations.current, world.config.database.url) == "0002"
    async with old_process(before, world.config) as old:
        doors.append(old.url)
        await load.work(20)
        async with load.at_work():
            status, said = await world.command("db", "upgrade")
            assert status == 0, said
            await done(load, 20)
        async with world.process() as new:
            doors.append(new.url)
            async with load.at_work():
                await done(load, 60)
                doors.remove(old.url)
                assert await old.stop() == 0
                await done(load, 20)
            tally = await check(world, file)
    assert (tally.fail, tally.unknown, tally.mails_twice) == (0, 0, 0)
    figures.note("the schema moves under load, then both versions serve, send and react side by side", tally=tally)


async def test_a_schema_that_a_later_version_made_is_good_enough_for_this_one(world: World) -> None:
    await asyncio.to_thread(migrations.upgrade, world.config.database.url)
    execute(world.config.database.url, "update alembic_version set version_num = '9999'")
    async with world.service(roles=["api"]) as (service, _):
        await eventually(service.problems, lambda problems: problems == [], what="readiness")
    status, said = await world.command("db", "upgrade")
    assert status == 1
    assert "9999, made by a later version" in said


async def test_a_migration_that_waits_for_a_lock_lets_others_pass_and_tries_again(world: World) -> None:
    url = world.config.database.url
    await asyncio.to_thread(migrations.upgrade, url, to="0002")
    async with await psycopg.AsyncConnection.connect(url) as reader:
        await reader.execute("select count(*) from tasks")  # an open transaction: the table cannot be altered
        migrating = asyncio.create_task(asyncio.to_thread(migrations.upgrade, url, lock_seconds=0.2))
        await eventually(lambda: world.value(WAITING), what="the migration in the queue")
        async with asyncio.timeout(5):
            await world.count("tasks")
        assert not migrating.done()
        await reader.rollback()
        assert await migrating == ("0002", migrations.head())


WAITING = "select count(*) from pg_locks where not granted and relation = 'tasks'::regclass"


async def done(load: Clients, more: int) -> None:
    """Wait until the clients have begun so many more operations."""
    goal = load.begun + more
    await eventually(lambda: load.begun, lambda number: number >= goal, what=f"{more} more operations")


@asynccontextmanager
async def old_process(before: Path, config: Config) -> AsyncIterator[Process]:
    """The version before, all of it in one process."""
    with old_settings(before, config) as environment:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "usercenter", "run", "--roles", "api,relay,worker"),
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        process = Process(child)
        try:
            await process.until_up()
            yield process
        finally:
            await process.end()


async def old_command(before: Path, config: Config, *arguments: str) -> tuple[int, str]:
    """A command of the version before, to its end."""
    with old_settings(before, config) as environment:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "usercenter", *arguments),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(child.communicate(), 30)
    return child.returncode or 0, said.decode()


@contextmanager
def old_settings(before: Path, config: Config) -> Iterator[dict[str, str]]:
    """The environment that makes a process one of the version before, with what it knows of this configuration."""
    known = msgspec.yaml.decode((before / "configs" / "config.yaml").read_bytes())
    values = msgspec.to_builtins(config)
    with tempfile.NamedTemporaryFile("wb", suffix=".yaml") as file:
        file.write(msgspec.yaml.encode(only_known(values, known)))
        file.flush()
        yield {**os.environ, "PYTHONPATH": str(before / "src"), "USERCENTER_CONFIG": file.name}


def only_known(values: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Without the settings that are new."""
    return {
        name: only_known(value, known[name]) if isinstance(value, dict) and known[name] else value
        for name, value in values.items()
        if name in known
    }
