"""What comes of a login, or of a change, when somebody else changes the user between its look and its statement."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import httpx
import psycopg
import pytest
from doorway import Door, problem
from harness import eventually
from owner import Owner, owner_at
from psycopg import sql

RENAMED = "last_name = 'Other'"
SUSPENDED = "status = 'suspended'"
DELETED = "status = 'deleted', password_hash = '', username_key = id::text, email_key = id::text"
OTHER_PASSWORD = "password_hash = 'of another one'"


@pytest.fixture
async def ada(door: Door) -> Owner:
    return await owner_at(door)


@asynccontextmanager
async def changed_meanwhile(ada: Owner, change: LiteralString) -> AsyncIterator[None]:
    """Inside, her row is locked; once somebody waits for it at the end, it is the next version, so changed."""
    world = ada.door.world
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with await psycopg.AsyncConnection.connect(world.config.database.url) as other:
        await other.execute("select 1 from users where id = %s for update", (ada.id,))
        yield
        await eventually(lambda: world.value(waiting), what="somebody who waits")
        update = sql.SQL("update users set sequence = sequence + 1, {} where id = %s").format(sql.SQL(change))
        await other.execute(update, (ada.id,))


async def log_in(ada: Owner, change: LiteralString) -> httpx.Response:
    async with changed_meanwhile(ada, change):
        login = {"username": ada.body["username"], "password": ada.password}
        sent = asyncio.create_task(ada.door.log_in(login))
    return await sent


async def patch(ada: Owner, change: LiteralString, **headers: str) -> httpx.Response:
    async with changed_meanwhile(ada, change):
        sent = asyncio.create_task(ada.send("PATCH", "/me", {"first_name": "Augusta"}, **headers))
    return await sent


async def told(ada: Owner) -> list[tuple[str, int]]:
    return [(event["type"], event["sequence"]) for event in await ada.events()]


async def test_a_login_is_the_version_after_the_other_change(ada: Owner) -> None:
    user: dict[str, Any] = (await log_in(ada, RENAMED)).json()["user"]

    assert (user["sequence"], user["last_name"]) == (3, "Other")
    assert await told(ada) == [("user.registered", 1), ("user.logged_in", 3)]


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        (SUSPENDED, 403, "account_not_active"),
        (DELETED, 401, "wrong_credentials"),
        (OTHER_PASSWORD, 401, "wrong_credentials"),
    ],
    ids=["suspended", "deleted", "another password"],
)
async def test_a_login_of_somebody_who_may_not_log_in_any_more_opens_no_session(
    door: Door, ada: Owner, change: LiteralString, status: int, error: str
) -> None:
    problem(await log_in(ada, change), status, error)

    assert await told(ada) == [("user.registered", 1)]
    assert await door.world.value("select count(*) from sessions where user_id = %s", ada.id) == 1


async def test_a_change_is_made_on_top_of_the_other_one(ada: Owner) -> None:
    user: dict[str, Any] = (await patch(ada, RENAMED)).json()["user"]

    assert (user["sequence"], user["first_name"], user["last_name"]) == (3, "Augusta", "Other")
    assert await told(ada) == [("user.registered", 1), ("user.updated", 3)]


async def test_a_change_of_the_version_that_was_seen_is_not_made_when_there_is_a_later_one(ada: Owner) -> None:
    problem(await patch(ada, RENAMED, If_Match='"1"'), 412, "version_conflict")

    assert await told(ada) == [("user.registered", 1)]


async def test_a_change_of_somebody_who_was_deleted_is_not_made(ada: Owner) -> None:
    problem(await patch(ada, DELETED), 404, "user_not_found")

    assert await told(ada) == [("user.registered", 1)]
