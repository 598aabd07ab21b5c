"""F10: the disk below the whole of PostgreSQL is full, its log included, until the server itself gives up."""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from faults.front import Fronted, ready
from faults.journal import Journal
from faults.ledger import Allowed, check
from faults.load import Clients, Habits
from faults.report import Figures
from faults.volume import Volume
from harness import World, config_of, eventually, execute, new_database, with_database
from msgspec import structs

from usercenter import migrations
from usercenter.db import Database
from usercenter.embedded.postgres import Postgres

pytestmark = [pytest.mark.long, pytest.mark.fault("F10")]


@pytest.fixture
async def server() -> AsyncIterator[tuple[Postgres, Volume]]:
    """A PostgreSQL of its own on a disk of 300 MB."""
    with tempfile.TemporaryDirectory(prefix="usercenter-postgres-") as folder:
        disk = Volume(Path(folder) / "disk", megabytes=300)
        assert not disk.problem, disk.problem
        lock = os.open(Path(folder) / "lock", os.O_CREAT | os.O_RDWR)
        postgres = Postgres(disk.path / "postgres", lock=lock)
        await postgres.start()
        try:
            yield postgres, disk
        finally:
            await postgres.stop()
            disk.remove()
            os.close(lock)


@pytest.fixture
async def world(parts: Fronted, server: tuple[Postgres, Volume]) -> AsyncIterator[World]:
    """A world on that server."""
    postgres, _ = server
    database = structs.replace(parts.config.database, url=postgres.url)
    here = replace(parts, config=structs.replace(parts.config, database=database), postgres=postgres)
    execute(postgres.url, "create database usercenter_template")
    migrations.upgrade(with_database(postgres.url, "usercenter_template"))
    config = config_of(here, new_database(here, "usercenter_template"))
    opened = Database(structs.replace(config.database, pool_min=1, pool_max=4))
    await opened.open()
    try:
        yield World(here, config, opened)
    finally:
        await opened.close()


async def test_a_database_whose_disk_is_full_refuses_and_goes_on_when_there_is_room(
    world: World, server: tuple[Postgres, Volume], file: Path, seed: int, figures: Figures
) -> None:
    postgres, disk = server
    async with world.service() as (service, client):
        await ready(client)
        await eventually(service.is_reading, what="the consumers")
        load = Clients(world, lambda: [service.url], Journal(file), seed=seed, habits=Habits(clerks=2))
        await load.work(20)
        await asyncio.to_thread(disk.fill)
        try:
            refused = await eventually(lambda: refusal(world, load), what="a refusal", timeout_seconds=120)
            await load.work(20)
        finally:
            disk.make_room()
        began = time.monotonic()
        await postgres.start()  # where it has given up
        await ready(client)
        await eventually(world.database.is_reachable, what="the test's own connections")
        await load.work(20)
        recovery = time.monotonic() - began
        tally = await check(world, file, allowed=Allowed(mails_twice=True), timeout_seconds=90)

    assert refused
    assert tally.unknown > 0
    figures.note("the whole disk below PostgreSQL is full", tally=tally, recoveries=[recovery])


async def refusal(world: World, load: Clients) -> bool:
    """Use up what the server has in store, and work on; whether somebody was told 503 by then."""
    with contextlib.suppress(psycopg.Error), psycopg.connect(world.config.database.url, autocommit=True) as connection:
        connection.execute("select pg_switch_wal()")
    await load.work(5)
    return b'"status":503' in load.journal.path.read_bytes()
