"""A forgotten password, and a new address: tokens that only the right mailbox gets, once, for a short time."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from doorway import Door, fields, problem
from msgspec.structs import replace
from owner import Owner, owner_at, post

from usercenter import bootstrap
from usercenter.clock import HeldClock
from usercenter.config.model import Recovery

NEW = "another-password"


@pytest.fixture
async def ada(door: Door) -> Owner:
    return await owner_at(door)


@pytest.fixture
async def late(door: Door) -> AsyncIterator[tuple[httpx.AsyncClient, HeldClock]]:
    """A second front door on the same database, with a clock of its own, and that clock."""
    clock = HeldClock(datetime.now(UTC))
    async with (
        bootstrap.running(door.config, roles=["api"], clock=clock) as service,
        httpx.AsyncClient(base_url=service.url, timeout=30) as client,
    ):
        yield client, clock


async def forgotten(ada: Owner) -> str:
    """The token of a reset mail."""
    assert (await post(ada.door, "/password/forgot", {"email": ada.body["email"]})).status_code == 202
    return await ada.mailed_token("password_reset")


async def asked_for(ada: Owner, email: str) -> str:
    """The token of a confirmation mail."""
    answer = await ada.send("POST", "/me/email", {"email": email, "password": ada.password})
    assert answer.status_code == 202, answer.text
    return await ada.mailed_token("email_change")


def reset(door: Door, token: str, **options: Any) -> Any:
    return post(door, "/password/reset", {"token": token, "new_password": NEW}, **options)


async def everything_kept(door: Door) -> str:
    """All that is written down about events, messages and tokens, as text."""
    kept = ""
    for table, payload in (("event_log", "payload::text"), ("outbox", "convert_from(payload, 'UTF8')")):
        kept += str(await door.world.rows(f"select {payload}, t::text from {table} t"))  # noqa: S608
    return kept + str(await door.world.rows("select t::text from one_time_tokens t union select t::text from tasks t"))


@pytest.mark.alone
async def test_the_answer_does_not_tell_whether_there_is_such_an_account(door: Door, ada: Owner):
    suspended = await owner_at(door)
    await door.world.rows("update users set status = 'suspended' where id = %s returning id", suspended.id)
    bodies, seconds = [], []
    for email in (ada.body["email"], "nobody@example.com", suspended.body["email"], "no address", "a\x00@example.com"):
        began = time.monotonic()
        answer = await post(door, "/password/forgot", {"email": email})
        seconds.append(time.monotonic() - began)
        assert answer.status_code == 202
        bodies.append(answer.json())

    assert all(body == bodies[0] for body in bodies)
    assert min(seconds) >= 0.2
    assert max(seconds) - min(seconds) < 0.15
    assert (len(await ada.asked("password_reset")), await suspended.asked("password_reset")) == (1, [])


async def test_an_address_is_found_in_any_case(ada: Owner):
    await post(ada.door, "/password/forgot", {"email": ada.body["email"].upper()})

    (asked,) = await ada.asked("password_reset")
    assert (asked["to"], asked["category"]) == (ada.body["email"], "security")


async def test_the_token_sets_a_new_password_and_ends_every_session_at_once(door: Door, ada: Owner):
    token = await forgotten(ada)

    assert (await reset(door, token)).status_code == 200

    assert not await ada.is_let_in()
    assert (await door.log_in({"email": ada.body["email"], "password": NEW})).status_code == 200
    event = (await ada.events())[1]
    assert (event["type"], event["actor"]) == ("user.password_changed", ada.id)


async def test_a_reset_token_works_once(door: Door, ada: Owner):
    token = await forgotten(ada)
    answers = await asyncio.gather(*(reset(door, token) for _ in range(3)))

    assert sorted(answer.status_code for answer in answers) == [200, 401, 401]
    problem(await reset(door, token), 401, "token_invalid")


async def test_a_newer_reset_token_takes_the_power_of_the_older(door: Door, ada: Owner):
    older, newer = await forgotten(ada), await forgotten(ada)

    problem(await reset(door, older), 401, "token_invalid")
    assert (await reset(door, newer)).status_code == 200


@pytest.mark.parametrize(("minutes", "status"), [(29, 200), (31, 401)])
async def test_a_reset_token_expires_after_half_an_hour(door: Door, ada: Owner, late, minutes, status):
    client, clock = late
    token = await forgotten(ada)
    clock.advance(timedelta(minutes=minutes))

    assert (await reset(door, token, client=client)).status_code == status


async def test_a_password_that_was_changed_meanwhile_takes_the_power_of_every_token(door: Door, ada: Owner):
    tokens = await forgotten(ada), await asked_for(ada, door.world.email("elsewhere"))
    await ada.send("PUT", "/me/password", {"old_password": ada.password, "new_password": "meanwhile-changed"})

    problem(await reset(door, tokens[0]), 401, "token_invalid")
    problem(await post(door, "/email/confirm", {"token": tokens[1]}), 401, "token_invalid")


@pytest.mark.parametrize("what", ["suspended", "deleted"])
async def test_a_token_of_an_account_that_may_not_be_used_is_401(door: Door, ada: Owner, what):
    token = await forgotten(ada)
    if what == "deleted":
        await ada.send("DELETE", "/me", {"password": ada.password})
    await door.world.rows("update users set status = %s where id = %s returning id", what, ada.id)

    problem(await reset(door, token), 401, "token_invalid")


async def test_a_password_against_the_rules_does_not_use_the_token_up(door: Door, ada: Owner):
    token = await forgotten(ada)

    answer = await post(door, "/password/reset", {"token": token, "new_password": "short"})
    assert fields(problem(answer, 400, "invalid_fields")) == {"new_password": "length"}
    assert (await reset(door, token)).status_code == 200


@pytest.mark.parametrize("path", ["/password/reset", "/email/confirm"])
async def test_a_token_for_something_else_is_401(door: Door, ada: Owner, path):
    wrong = {
        "/password/reset": await asked_for(ada, door.world.email(f"for.{ada.body['username']}")),
        "/email/confirm": await forgotten(ada),
    }[path]
    for token in (wrong, ada.refresh_token, ada.token, "x", ""):
        body = {"token": token} | ({"new_password": NEW} if "reset" in path else {})
        problem(await post(door, path, body), 401, "token_invalid")


async def test_a_new_address_counts_once_it_is_confirmed(door: Door, ada: Owner):
    new = door.world.email(f"new.{ada.body['username']}")
    token = await asked_for(ada, new)
    assert (await door.me(ada.token)).json()["user"]["email"] == ada.body["email"]
    assert (await ada.asked("email_change"))[-1]["to"] == new

    assert (await post(door, "/email/confirm", {"token": token})).status_code == 200

    user = (await door.me(ada.token)).json()["user"]
    assert (user["email"], user["email_verified"]) == (new, True)
    event = (await ada.events())[-1]
    assert (event["type"], event["actor"]) == ("user.updated", ada.id)
    assert event["changes"] == {"email": new, "email_verified": True}
    problem(await post(door, "/email/confirm", {"token": token}), 401, "token_invalid")


async def test_a_new_address_takes_the_power_of_what_was_sent_to_the_old_one(door: Door, ada: Owner):
    token = await asked_for(ada, door.world.email(f"moved.{ada.body['username']}"))
    old_mailbox = await forgotten(ada)
    await post(door, "/email/confirm", {"token": token})

    problem(await reset(door, old_mailbox), 401, "token_invalid")


async def test_a_confirmation_token_expires_after_a_day(door: Door, ada: Owner, late):
    client, clock = late
    token = await asked_for(ada, door.world.email(f"day.{ada.body['username']}"))
    clock.advance(timedelta(hours=24, minutes=1))

    problem(await post(door, "/email/confirm", {"token": token}, client=client), 401, "token_invalid")


async def test_an_address_that_somebody_has_is_409_when_asked_for_and_when_confirmed(door: Door, ada: Owner):
    wanted = door.world.email(f"wanted.{ada.body['username']}")
    token = await asked_for(ada, wanted)
    await owner_at(door, email=wanted)

    problem(await post(door, "/email/confirm", {"token": token}), 409, "email_taken")
    answer = await ada.send("POST", "/me/email", {"email": wanted.upper(), "password": ada.password})
    problem(answer, 409, "email_taken")


async def test_an_address_that_is_none_is_400(ada: Owner):
    answer = await ada.send("POST", "/me/email", {"email": "no address", "password": ada.password})

    assert fields(problem(answer, 400, "invalid_fields")) == {"email": "address"}


async def test_no_token_is_written_down_anywhere(door: Door, ada: Owner):
    tokens = [await forgotten(ada), await asked_for(ada, door.world.email(f"kept.{ada.body['username']}"))]
    refreshed = (await post(door, "/refresh", {"refresh_token": ada.refresh_token})).json()
    kept = await everything_kept(door)

    for secret in (*tokens, ada.token, ada.refresh_token, refreshed["token"], refreshed["refresh_token"]):
        assert secret not in kept
    assert ada.password not in kept


async def test_an_account_gets_five_mails_an_hour_and_nobody_is_told(ada: Owner, late):
    client, clock = late
    answers = [await post(ada.door, "/password/forgot", {"email": ada.body["email"]}, client=client) for _ in range(7)]

    assert {(answer.status_code, answer.content) for answer in answers} == {(202, answers[0].content)}
    assert len(await ada.asked("password_reset")) == 5
    clock.advance(timedelta(minutes=61))
    await post(ada.door, "/password/forgot", {"email": ada.body["email"]}, client=client)
    assert len(await ada.asked("password_reset")) == 6


async def test_a_network_that_asks_too_often_is_told_when_to_come_again(door: Door, ada: Owner):
    config = replace(door.config, recovery=Recovery(requests_per_network_hour=3))
    clock = HeldClock(datetime.now(UTC) + timedelta(days=1))  # not counted with the requests of the other tests
    async with (
        bootstrap.running(config, roles=["api"], clock=clock) as service,
        httpx.AsyncClient(base_url=service.url, timeout=30) as client,
    ):
        for email in ("nobody@example.com", "no address", "nobody@example.com"):
            assert (await post(door, "/password/forgot", {"email": email}, client=client)).status_code == 202
            clock.advance(timedelta(minutes=10))
        refused = [
            await post(door, "/password/forgot", {"email": email}, client=client)
            for email in (ada.body["email"], "nobody@example.com")
        ]
        for answer in refused:
            problem(answer, 429, "too_many_requests")
            assert 1790 <= int(answer.headers["Retry-After"]) <= 1801
        clock.advance(timedelta(seconds=int(refused[0].headers["Retry-After"])))
        assert (await post(door, "/password/forgot", {"email": ada.body["email"]}, client=client)).status_code == 202
    assert len(await ada.asked("password_reset")) == 1


async def test_what_is_counted_names_no_address(door: Door):
    await post(door, "/password/forgot", {"email": "nobody@example.com"})

    assert "127.0.0.1" not in str(await door.world.rows("select r::text from reset_requests r"))
