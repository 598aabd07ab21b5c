"""A session that ends, or a user who changes, at one API process: what the others do that have a copy in memory.

Copies live for a minute here, so a process that sees an end within seconds was told of it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
import pytest
import redis.asyncio as redis
from doorway import ME, Door
from harness import eventually
from msgspec.structs import replace
from owner import Owner, give_role, owner_at, post

from usercenter import bootstrap
from usercenter.config.model import Cache

_SECONDS = 60
_SOON = _SECONDS / 4
Elsewhere = httpx.AsyncClient


@asynccontextmanager
async def process(door: Door, cache: Cache) -> AsyncIterator[httpx.AsyncClient]:
    """One more API process on the same database."""
    config = replace(door.config, cache=cache)
    async with (
        bootstrap.running(config, roles=["api"]) as service,
        httpx.AsyncClient(base_url=service.url, timeout=30) as client,
    ):
        yield client


@pytest.fixture(scope="module")
async def elsewhere(door: Door) -> AsyncIterator[Elsewhere]:
    """A process that keeps copies and hears of changes; `door` is another one."""
    async with process(door, replace(door.config.cache, session_seconds=_SECONDS)) as client:
        yield client


@pytest.fixture
async def ada(door: Door) -> Owner:
    return await owner_at(door)


async def look(owner: Owner, client: httpx.AsyncClient) -> httpx.Response:
    return await client.get(ME, headers={"Authorization": f"Bearer {owner.token}"})


async def is_taken_for_granted(owner: Owner, client: httpx.AsyncClient) -> bool:
    """Whether the process answers from a copy: then it does not see what is changed behind its back."""
    mark = uuid4().hex
    await look(owner, client)
    await owner.door.world.rows("update users set first_name = %s where id = %s returning id", mark, owner.id)
    return bool((await look(owner, client)).json()["user"].get("first_name") != mark)


async def is_copied(owner: Owner, client: httpx.AsyncClient) -> None:
    """Come back once the process answers this owner from a copy."""
    await eventually(lambda: is_taken_for_granted(owner, client), what="a copy")


async def is_refused(owner: Owner, client: httpx.AsyncClient) -> None:
    """Come back once the process refuses this owner's token."""

    async def status() -> int:
        return (await look(owner, client)).status_code

    await eventually(status, lambda found: found == 401, what="the refusal", timeout_seconds=_SOON)


async def log_out(owner: Owner) -> None:
    await owner.send("POST", "/logout")


async def log_out_from_another_device(owner: Owner) -> None:
    await (await owner.again()).send("DELETE", "/me/sessions")


async def change_the_password_on_another_device(owner: Owner) -> None:
    body = {"old_password": owner.password, "new_password": "another password"}
    assert (await (await owner.again()).send("PUT", "/me/password", body)).status_code == 200


async def delete_the_account(owner: Owner) -> None:
    assert (await owner.send("DELETE", "/me", {"password": owner.password})).status_code == 204


async def be_suspended(owner: Owner) -> None:
    admin = await owner_at(owner.door)
    await give_role(admin, "admin")
    answer = await admin.send("PATCH", f"/api/v1/admin/users/{owner.id}/status", {"status": "suspended"})
    assert answer.status_code == 200, answer.text


async def be_suspended_by_a_command(owner: Owner) -> None:
    status, said = await owner.door.world.command("user", "status", owner.id, "suspended")
    assert status == 0, said


async def have_the_refresh_token_stolen(owner: Owner) -> None:
    token = owner.refresh_token
    for _ in range(2):
        token = (await post(owner.door, "/refresh", {"refresh_token": token})).json()["refresh_token"]
    assert (await post(owner.door, "/refresh", {"refresh_token": owner.refresh_token})).status_code == 401


@pytest.mark.parametrize(
    "end",
    [
        log_out,
        log_out_from_another_device,
        change_the_password_on_another_device,
        delete_the_account,
        be_suspended,
        be_suspended_by_a_command,
        have_the_refresh_token_stolen,
    ],
    ids=lambda end: end.__name__,
)
async def test_an_end_is_seen_by_a_process_with_a_copy(
    ada: Owner, elsewhere: Elsewhere, end: Callable[[Owner], Awaitable[None]]
):
    await is_copied(ada, elsewhere)

    await end(ada)

    await is_refused(ada, elsewhere)


async def test_a_change_of_the_user_is_seen_by_a_process_with_a_copy(ada: Owner, elsewhere: Elsewhere):
    await is_copied(ada, elsewhere)

    changed = await ada.send("PATCH", "/me", {"last_name": "Lovelace"})

    async def tag() -> str:
        return (await look(ada, elsewhere)).headers["ETag"]

    await eventually(tag, lambda found: found == changed.headers["ETag"], what="the change", timeout_seconds=_SOON)


async def test_the_process_that_ends_a_session_refuses_it_with_the_next_request(ada: Owner, elsewhere: Elsewhere):
    await is_copied(ada, elsewhere)

    assert (await ada.send("POST", "/logout", client=elsewhere)).status_code == 204

    assert (await look(ada, elsewhere)).status_code == 401


async def test_the_end_of_somebody_elses_session_costs_nobody_a_copy(door: Door, ada: Owner, elsewhere: Elsewhere):
    grace = await owner_at(door)
    await is_copied(ada, elsewhere)
    await is_copied(grace, elsewhere)

    await log_out(grace)
    await is_refused(grace, elsewhere)

    assert await is_taken_for_granted(ada, elsewhere)


async def test_who_cannot_hear_of_ends_asks_postgresql_until_it_can(door: Door, ada: Owner, elsewhere: Elsewhere):
    await is_copied(ada, elsewhere)

    async with redis.from_url(door.config.cache.url) as valkey:
        await valkey.client_kill_filter(_type="pubsub")
    await door.world.rows("update sessions set ended_at = now() where user_id = %s returning id", ada.id)  # in silence
    await is_refused(ada, elsewhere)

    await is_copied(await ada.again(), elsewhere)


async def test_an_ended_session_changes_nothing_wherever_there_is_a_copy(ada: Owner, elsewhere: Elsewhere):
    await is_copied(ada, elsewhere)
    await ada.door.world.rows("update sessions set ended_at = now() where user_id = %s returning id", ada.id)

    assert (await look(ada, elsewhere)).status_code == 200  # in silence, it could not know
    assert (await ada.send("PATCH", "/me", {"last_name": "Lovelace"}, client=elsewhere)).status_code == 401


@pytest.mark.parametrize("without", ["seconds", "a cache"])
async def test_without_copies_each_request_asks_postgresql(door: Door, ada: Owner, without: str):
    wanted = replace(door.config.cache, session_seconds=0) if without == "seconds" else Cache(session_seconds=_SECONDS)
    async with process(door, wanted) as client:
        assert not await is_taken_for_granted(ada, client)
        await door.world.rows("update sessions set ended_at = now() where user_id = %s returning id", ada.id)

        assert (await look(ada, client)).status_code == 401
