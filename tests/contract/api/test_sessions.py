"""POST /refresh and /logout, and the sessions of the caller."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from doorway import Door, problem
from owner import Owner, owner_at, post

from usercenter import bootstrap
from usercenter.clock import HeldClock

Late = tuple[httpx.AsyncClient, HeldClock]


@pytest.fixture(scope="module")
async def late(door: Door) -> AsyncIterator[Late]:
    """A second front door on the same database, with a clock of its own, and that clock."""
    clock = HeldClock(datetime.now(UTC))
    async with (
        bootstrap.running(door.config, roles=["api"], clock=clock) as service,
        httpx.AsyncClient(base_url=service.url, timeout=30) as client,
    ):
        yield client, clock


@pytest.fixture
async def ada(door: Door) -> Owner:
    return await owner_at(door)


async def refresh(door: Door, token: str, client: httpx.AsyncClient | None = None) -> httpx.Response:
    return await post(door, "/refresh", {"refresh_token": token}, client=client)


async def test_a_refresh_token_gets_new_tokens_of_the_same_session(door: Door, ada: Owner):
    answer = await refresh(door, ada.refresh_token)

    body = answer.json()
    assert set(body) == {"user", "token", "refresh_token", "token_type", "expires_in", "message"}
    assert answer.headers["ETag"] == '"1"'
    assert body["refresh_token"] != ada.refresh_token
    assert (await door.me(body["token"])).status_code == 200
    assert await door.world.value("select count(*) from sessions where user_id = %s", ada.id) == 1
    assert len(await ada.events()) == 1


async def test_a_retry_within_the_grace_gets_the_same_token_once_more(door: Door, ada: Owner, late: Late):
    client, clock = late
    first = (await refresh(door, ada.refresh_token, client)).json()["refresh_token"]
    clock.advance(timedelta(seconds=30))

    assert (await refresh(door, ada.refresh_token, client)).json()["refresh_token"] == first
    assert (await refresh(door, first, client)).status_code == 200


async def test_a_used_token_after_the_grace_ends_the_session_for_everybody(door: Door, ada: Owner, late: Late):
    client, clock = late
    newest = (await refresh(door, ada.refresh_token, client)).json()
    clock.advance(timedelta(seconds=31))

    problem(await refresh(door, ada.refresh_token, client), 401, "token_invalid")

    problem(await refresh(door, newest["refresh_token"], client), 401, "token_invalid")
    problem(await door.me(newest["token"]), 401, "token_invalid")
    reason = await door.world.value("select ended_reason from sessions where user_id = %s", ada.id)
    assert reason == "refresh_token_reused"


async def test_a_token_two_generations_old_ends_the_session_even_within_the_grace(door: Door, ada: Owner):
    second = (await refresh(door, ada.refresh_token)).json()["refresh_token"]
    await refresh(door, second)

    problem(await refresh(door, ada.refresh_token), 401, "token_invalid")
    assert not await ada.is_let_in()


async def test_refreshes_at_the_same_time_get_one_and_the_same_token(door: Door, ada: Owner):
    answers = await asyncio.gather(*(refresh(door, ada.refresh_token) for _ in range(5)))

    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


async def test_a_session_cannot_be_refreshed_after_its_days(door: Door, late: Late):
    ada = await owner_at(door)
    client, clock = late
    clock.advance(timedelta(days=door.config.tokens.refresh_days, seconds=1))

    problem(await refresh(door, ada.refresh_token, client), 401, "token_invalid")


@pytest.mark.parametrize("token", ["", "x", "é", "A" * 70, "🙂" * 100], ids=ascii)
async def test_a_refresh_token_that_is_none_is_401(door: Door, token):
    problem(await refresh(door, token), 401, "token_invalid")


async def test_the_access_token_is_no_refresh_token_nor_the_other_way_round(door: Door, ada: Owner):
    problem(await refresh(door, ada.token), 401, "token_invalid")
    problem(await door.me(ada.refresh_token), 401, "token_invalid")


async def test_logout_ends_this_session_at_once_and_no_other(door: Door, ada: Owner):
    other = await ada.again()

    assert (await ada.send("POST", "/logout")).status_code == 204

    assert (await ada.is_let_in(), await other.is_let_in()) == (False, True)
    problem(await refresh(door, ada.refresh_token), 401, "token_invalid")
    problem(await ada.send("POST", "/logout"), 401, "token_invalid")


async def test_the_list_shows_open_sessions_and_which_one_asks(ada: Owner):
    other, gone = await ada.again(), await ada.again()
    await gone.send("POST", "/logout")

    listed = (await other.send("GET", "/me/sessions")).json()["sessions"]

    assert [each["is_current"] for each in listed] == [True, False]
    assert set(listed[0]) == {
        "id", "created_at", "last_used_at", "expires_at", "ip_address", "device", "is_current", "is_suspicious",
    }  # fmt: skip
    assert listed[0]["device"].startswith("python-httpx") or "Python" in listed[0]["device"]


async def test_one_session_is_ended_by_its_id(ada: Owner):
    other = await ada.again()
    listed = (await ada.send("GET", "/me/sessions")).json()["sessions"]
    others = next(each["id"] for each in listed if not each["is_current"])

    assert (await ada.send("DELETE", f"/me/sessions/{others}")).status_code == 204
    assert (await ada.is_let_in(), await other.is_let_in()) == (True, False)
    problem(await ada.send("DELETE", f"/me/sessions/{others}"), 404, "session_not_found")


async def test_nobody_ends_the_session_of_somebody_else(door: Door, ada: Owner):
    bob = await owner_at(door)
    theirs = await door.world.value("select id from sessions where user_id = %s", bob.id)

    problem(await ada.send("DELETE", f"/me/sessions/{theirs}"), 404, "session_not_found")
    problem(await ada.send("DELETE", f"/me/sessions/{uuid4()}"), 404, "session_not_found")
    problem(await ada.send("DELETE", "/me/sessions/no-id"), 404, "not_found")
    assert await bob.is_let_in()


async def test_all_other_sessions_are_ended_at_once(ada: Owner):
    others = [await ada.again() for _ in range(2)]

    answer = await ada.send("DELETE", "/me/sessions")

    assert (answer.status_code, answer.json()) == (200, {"ended": 2})
    assert [await each.is_let_in() for each in (ada, *others)] == [True, False, False]
