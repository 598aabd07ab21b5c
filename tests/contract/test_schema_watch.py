"""A service that is started before its schema is there, or beside a later one."""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from doorway import REGISTER, problem
from harness import TEMPLATE, World, eventually, execute, fresh_database, with_database
from msgspec.structs import replace

from usercenter import migrations
from usercenter.config.model import Config

PERSON = {"username": "ada", "email": "ada@example.com", "password": "correct horse battery"}


@pytest.fixture
def empty(world: World) -> Iterator[Config]:
    """The configuration of a service whose database has no tables."""
    with fresh_database(world.parts, template="template1") as url:
        yield replace(world.config, database=replace(world.config.database, url=url))


async def problems(client: httpx.AsyncClient) -> list[str]:
    """What keeps the service from being ready."""
    answer = await client.get("/ready")
    found: list[str] = answer.json().get("reasons", [])
    assert (answer.status_code == 200) == (not found)
    return found


async def test_a_service_on_an_empty_database_says_what_to_run_and_is_ready_once_that_was_done(
    world: World, empty: Config, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.service(config=empty) as (service, client):
        found = await eventually(lambda: problems(client), lambda found: "empty" in str(found), what="the problem")
        assert found == [f"the schema is empty, not {migrations.head()}: run `usercenter db upgrade`"]
        refused = await client.post(REGISTER, json=PERSON)
        assert "see /ready" in problem(refused, 503, "schema_unfit")["message"]
        await asyncio.to_thread(migrations.upgrade, empty.database.url)
        await eventually(lambda: problems(client), lambda found: not found, what="the service's readiness")
        assert (await client.post(REGISTER, json=PERSON)).status_code == 201
        await eventually(service.is_reading, what="the groups' partitions")
    errors = [record.msg for record in caplog.records if record.levelname == "ERROR"]
    assert [error["event"] for error in errors] == ["service.schema_unfit", "http.schema_unfit"]


async def test_a_service_works_on_the_schema_of_a_later_version(world: World) -> None:
    execute(world.config.database.url, "update alembic_version set version_num = '9999'")
    async with world.service(roles=["api"]) as (_, client):
        await eventually(lambda: problems(client), lambda found: not found, what="the service's readiness")


async def test_a_service_whose_database_comes_later_says_so_once_and_is_ready_then(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    server, name = world.config.database.url, f"test_{uuid4().hex[:12]}"
    later = replace(world.config.database, url=with_database(server, name), pool_timeout_seconds=1)
    try:
        async with world.service(config=replace(world.config, database=later), roles=["api"]) as (_, client):
            not_seen = "the schema cannot be looked at: PostgreSQL is not there"
            await eventually(lambda: problems(client), lambda found: not_seen in found, what="the problem")
            execute(server, f"create database {name} template {TEMPLATE} strategy file_copy")
            await eventually(lambda: problems(client), lambda found: not found, what="the service's readiness")
    finally:
        execute(server, f"drop database if exists {name} with (force)")
    events = [record.msg["event"] for record in caplog.records if isinstance(record.msg, dict)]
    assert events.count("service.database_unavailable") == 1
