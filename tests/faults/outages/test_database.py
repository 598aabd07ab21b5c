"""PostgreSQL restarts, throws everybody out, falls silent, is slow, has no room: what clients get, and what is left."""

import asyncio
import os
import time
from typing import Any

import httpx
import psycopg
import pytest
from faults.front import Front, ready
from faults.volume import Volume
from harness import World, eventually, execute, with_database
from msgspec.structs import replace
from psycopg import sql

from usercenter.config.model import Config
from usercenter.db import Database
from usercenter.embedded.parts import Running

REGISTER = "/api/v1/users/register"


@pytest.mark.fault("F6")
async def test_a_silent_database_is_given_up_and_served_by_again_when_it_speaks(front: Front, far: Config) -> None:
    settings = replace(far.database, answer_timeout_seconds=1, pool_timeout_seconds=1, pool_min=1, pool_max=2)
    database = Database(settings)
    await database.open()
    try:
        assert await database.is_reachable()
        front.to_database.swallow()
        began = time.monotonic()
        assert not any(await asyncio.gather(*(database.is_reachable() for _ in range(6))))
        assert time.monotonic() - began < 8
        front.to_database.heal()
        await eventually(database.is_reachable, what="the database", timeout_seconds=10)
    finally:
        await database.close()


async def test_a_statement_may_be_given_more_time(world: World) -> None:
    database = Database(replace(world.config.database, answer_timeout_seconds=1))
    await database.open()
    try:
        async with database.transaction(patience_seconds=10) as tx:
            assert await tx.fetch_one("select pg_sleep(1.2) is not null") == (True,)
        with pytest.raises(Exception, match="PostgreSQL is not there"):
            async with database.transaction() as tx:
                await tx.execute("select pg_sleep(10)")
    finally:
        await database.close()


@pytest.mark.fault("F6")
@pytest.mark.parametrize("fault", ["delay", "slow_down"])
async def test_a_late_or_slow_database_is_still_a_database(world: World, front: Front, far: Config, fault: str) -> None:
    async with world.service(roles=["api"], config=far) as (_, client):
        await ready(client)
        if fault == "delay":
            front.to_database.delay(0.1)
        else:
            front.to_database.slow_down(bytes_per_second=20_000)
        assert (await client.post(REGISTER, json=world.registration("ada"))).status_code == 201


async def test_a_deadlock_is_a_503_and_nothing_is_half_done(world: World) -> None:
    async with world.service(roles=["api"]) as (_, client):
        await ready(client)
        token = (await client.post(REGISTER, json=world.registration("ada"))).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with await psycopg.AsyncConnection.connect(world.config.database.url) as other:
            await other.execute("set deadlock_timeout = '60s'")  # the other one finds it, and is the victim
            await other.execute("lock table event_log in exclusive mode")
            change = {"username": "ada.again"}  # takes more than one statement: locks are taken one after the other
            changing = asyncio.create_task(client.patch("/api/v1/users/me", json=change, headers=headers))
            await eventually(lambda: _waits(world), what="a request that waits")
            await other.execute("select 1 from users for update")
            answer = await changing
            await other.rollback()
        again = await client.patch("/api/v1/users/me", json=change, headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (503, "database_unavailable")
    assert answer.headers["Retry-After"]
    assert again.status_code == 200
    assert await world.value("select array_agg(sequence order by sequence) from event_log") == [1, 2]


@pytest.mark.fault("F10")
async def test_a_full_disk_is_a_503_and_the_same_request_succeeds_when_there_is_room(
    world: World, parts: Running, small_disk: Volume
) -> None:
    await _moved_to(parts, world, "small")
    async with world.service(roles=["api"]) as (_, client):
        await ready(client)
        with psycopg.connect(
            world.config.database.url, autocommit=True
        ) as other:  # a new one may need room on the disk
            assert (await client.post(REGISTER, json=world.registration("first"))).status_code == 201
            small_disk.fill()
            refused = await _register_until_refused(world, client)
            # what is there can still be read
            assert (await client.get("/ready")).status_code == 200
            before = _counts(other)
            small_disk.make_room()
            again = await client.post(REGISTER, json=world.registration("last"))
            users, events, outbox, sessions = _counts(other)

    assert (refused.status_code, refused.json()["error"]) == (503, "database_unavailable")
    assert refused.headers["Content-Type"].startswith("application/problem+json")
    assert refused.headers["Retry-After"] == "2"
    assert again.status_code == 201
    assert len({before[0], before[1], before[2], before[3]}) == 1  # each account with its event and session, or none
    assert users == events == outbox == sessions == before[0] + 1


async def _register_until_refused(world: World, client: httpx.AsyncClient) -> httpx.Response:
    """There is room in the pages that exist already; after some accounts there is none."""
    for number in range(2_000):
        answer = await client.post(REGISTER, json=world.registration(f"user{number}"))
        if answer.status_code != 201:
            return answer
    raise AssertionError("the disk was never full")


def _counts(connection: psycopg.Connection[Any]) -> Any:
    row = connection.execute(
        "select (select count(*) from users), (select count(*) from event_log), "
        "(select count(*) from outbox), (select count(*) from sessions)"
    ).fetchone()
    assert row is not None
    return row


@pytest.fixture
def small_disk(parts: Running) -> Any:
    """A tablespace `small` on a disk of 24 MB."""
    assert parts.postgres is not None
    disk = Volume(parts.data_dir / "postgres" / "small", megabytes=24)
    assert not disk.problem, disk.problem
    place = disk.path / "tables"
    place.mkdir()
    owner = (parts.data_dir / "postgres" / "data").stat()
    os.chown(place, owner.st_uid, owner.st_gid)
    execute(parts.config.database.url, sql.SQL("create tablespace small location {}").format(str(place)))
    yield disk
    disk.make_room()
    for (name,) in _databases_in_small(parts):
        execute(parts.config.database.url, sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
    execute(parts.config.database.url, "drop tablespace small")
    disk.remove()


def _databases_in_small(parts: Running) -> list[Any]:
    query = "select datname from pg_database d join pg_tablespace t on t.oid = d.dattablespace where spcname = 'small'"
    with psycopg.connect(parts.config.database.url) as connection:
        return connection.execute(query).fetchall()


async def _moved_to(parts: Running, world: World, tablespace: str) -> None:
    await world.database.close()
    name = str(psycopg.conninfo.conninfo_to_dict(world.config.database.url)["dbname"])
    admin = with_database(parts.config.database.url, "postgres")
    execute(admin, sql.SQL("alter database {} set tablespace {}").format(*map(sql.Identifier, (name, tablespace))))


async def _waits(world: World) -> bool:
    return bool(
        await world.value(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
    )
