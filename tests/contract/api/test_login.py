"""POST /api/v1/users/login and GET /api/v1/users/me."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import bcrypt
import pytest
from doorway import LOGIN, ME, Door, fields, problem

from usercenter.clock import HeldClock
from usercenter.users.tokens import Tokens


@pytest.fixture(scope="module")
async def ada(door: Door) -> dict[str, Any]:
    """What a registered user knows: the body that she sent, and the answer to it."""
    body = door.person(username="Ada.Lovelace")
    return body | (await door.register(body)).json()


@pytest.mark.parametrize("how", ["username", "email"])
@pytest.mark.parametrize("case", [str, str.upper, str.lower])
async def test_a_user_logs_in_by_name_or_by_address_in_any_case(door: Door, ada, how, case):
    answer = await door.log_in({how: case(ada[how]), "password": ada["password"]})

    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"user", "token", "refresh_token", "token_type", "expires_in", "message"}
    assert body["user"]["id"] == ada["user"]["id"]
    assert (await door.me(body["token"])).status_code == 200


async def test_each_login_is_an_event_with_the_next_sequence(door: Door, ada):
    first = await door.log_in({"username": ada["username"], "password": ada["password"]}, User_Agent="curl\t8")
    second = await door.log_in({"username": ada["username"], "password": ada["password"]})

    sequence = first.json()["user"]["sequence"]
    assert second.json()["user"]["sequence"] == sequence + 1
    payload = await door.world.value(
        "select payload from event_log where user_id = %s and sequence = %s", ada["user"]["id"], sequence
    )
    assert (payload["type"], payload["ip_address"], payload["user_agent"]) == ("user.logged_in", "127.0.0.1", "curl 8")


async def test_an_address_is_found_in_every_form_that_means_the_same(door: Door):
    body = door.person(email=f"li@xn--bcher-kva.{door.world.domain}")
    await door.register(body)

    for written in (f"li@bücher.{door.world.domain}", body["email"], f"LI@BÜCHER\uff0e{door.world.domain}"):
        assert (await door.log_in({"email": written, "password": body["password"]})).status_code == 200


async def test_a_wrong_password_and_an_unknown_user_get_the_identical_answer(door: Door, ada):
    attempts = [
        {"username": ada["username"], "password": "wrong password"},
        {"username": "nobody.at.all", "password": "password123"},
        {"email": ada["email"], "password": "wrong password"},
        {"email": "nobody@example.com", "password": "password123"},
        {"email": "no address", "password": "password123"},
        {"username": "а" * 5_000, "password": ""},
        {"username": ada["username"], "password": ada["password"].upper()},
    ]
    async with door.nothing_stored():
        bodies = [problem(await door.log_in(attempt), 401, "wrong_credentials") for attempt in attempts]

    for body in bodies:
        del body["request_id"]
    assert all(body == bodies[0] for body in bodies)


async def test_a_refusal_says_how_to_come_in(door: Door):
    answer = await door.log_in({"username": "nobody", "password": "x"})

    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("status", ["inactive", "suspended", "deleted"])
async def test_an_account_that_is_not_active_is_403_but_only_for_who_knows_the_password(door: Door, status):
    body = door.person()
    user = (await door.register(body)).json()["user"]
    await door.world.rows("update users set status = %s where id = %s returning id", status, user["id"])

    async with door.nothing_stored():
        login = {"username": body["username"], "password": body["password"]}
        assert status in problem(await door.log_in(login), 403, "account_not_active")["message"]
        problem(await door.log_in(login | {"password": "wrong password"}), 401, "wrong_credentials")
    assert await door.world.value("select sequence from users where id = %s", user["id"]) == 1


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"password": "missing", "email": "missing"}),
        ({"password": "x"}, {"email": "missing"}),
        ({"username": "a", "email": "b", "password": "x"}, {"email": "missing"}),
        ({"username": 1, "password": 2}, {"username": "type", "password": "type", "email": "missing"}),
        ({"username": "a\x00", "password": "x"}, {"username": "character"}),
        ({"email": "a\x00@example.com", "password": "x"}, {"email": "character"}),
        ({"username": "a", "password": "x", "remember": True}, {"remember": "unknown"}),
    ],
)
async def test_a_wrong_login_names_every_wrong_field(door: Door, body, wrong):
    assert fields(problem(await door.log_in(body), 400, "invalid_fields")) == wrong


async def test_a_login_in_another_keyboards_form_of_the_password_succeeds(door: Door):
    body = door.person(password="Zo\u00eb-Zo\u00eb-Zo\u00eb")
    await door.register(body)

    login = {"username": body["username"], "password": "Zoe\u0308-Zoe\u0308-Zoe\u0308"}
    assert (await door.log_in(login)).status_code == 200


async def test_a_hash_of_old_parameters_is_renewed_at_the_next_login(door: Door):
    import argon2

    body = door.person()
    old = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(body["password"])
    await door.register(body)
    await door.world.rows("update users set password_hash = %s where username = %s returning id", old, body["username"])

    for _ in range(2):
        assert (await door.log_in({"username": body["username"], "password": body["password"]})).status_code == 200
    kept = await door.world.value("select password_hash from users where username = %s", body["username"])
    assert "m=19456,t=2,p=1" in kept


async def test_logins_at_one_time_that_all_saw_a_hash_of_old_parameters_all_succeed(door: Door):
    body = door.person()
    await door.register(body)
    old = bcrypt.hashpw(body["password"].encode(), bcrypt.gensalt(4)).decode()
    await door.world.rows("update users set password_hash = %s where username = %s returning id", old, body["username"])
    login = {"username": body["username"], "password": body["password"]}

    answers = await asyncio.gather(*(door.log_in(login) for _ in range(4)))

    assert [answer.status_code for answer in answers] == [200] * 4, [answer.text for answer in answers]


async def test_me_is_the_user_of_the_token(door: Door, ada):
    answer = await door.me(ada["token"])

    assert answer.status_code == 200
    assert answer.json()["user"]["id"] == ada["user"]["id"]
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_read_in_any_case(door: Door, ada, scheme):
    answer = await door.client.get(ME, headers={"Authorization": f"{scheme} {ada['token']}"})

    assert answer.status_code == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic YTpi", "Token x", "Bearer\tx"], ids=ascii)
async def test_without_a_token_me_is_401_and_says_what_to_send(door: Door, header):
    answer = await door.client.get(ME, headers={} if header is None else {"Authorization": header})

    assert "Authorization: Bearer" in problem(answer, 401, "token_invalid")["message"]
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "e30.e30.e30", "W" * 30_000, "eyJhbGciOiJub25lIn0.e30."], ids=lambda t: t[:9]
)
async def test_a_token_that_is_none_is_401(door: Door, token):
    problem(await door.me(token), 401, "token_invalid")


async def test_a_token_is_401_when_it_has_expired(door: Door, ada):
    session = await door.world.value("select id from sessions where user_id = %s", ada["user"]["id"])
    earlier = HeldClock(datetime.now(UTC) - timedelta(minutes=16))
    expired = Tokens(door.config.tokens, clock=earlier).issue_access(UUID(ada["user"]["id"]), session)

    problem(await door.me(expired), 401, "token_invalid")


async def test_a_token_of_a_session_of_somebody_else_is_401(door: Door, ada):
    other = (await door.register(door.person())).json()["user"]
    session = await door.world.value("select id from sessions where user_id = %s", ada["user"]["id"])
    mixed = Tokens(door.config.tokens, clock=HeldClock(datetime.now(UTC))).issue_access(UUID(other["id"]), session)

    problem(await door.me(mixed), 401, "token_invalid")


@pytest.mark.parametrize(
    "what_happens",
    [
        "update sessions set ended_at = now() where user_id = %s returning id",
        "update sessions set expires_at = now() where user_id = %s returning id",
        "delete from sessions where user_id = %s returning id",
        "update users set status = 'suspended' where id = %s returning id",
        "delete from users where id = %s returning id",
    ],
)
async def test_a_token_is_401_as_soon_as_its_session_or_account_has_ended(door: Door, what_happens):
    signed_in = (await door.register(door.person())).json()
    assert (await door.me(signed_in["token"])).status_code == 200

    await door.world.rows(what_happens, signed_in["user"]["id"])

    problem(await door.me(signed_in["token"]), 401, "token_invalid")


async def test_the_refresh_token_is_not_kept_at_all(door: Door, ada):
    kept = await door.world.rows("select s::text from sessions s where user_id = %s", ada["user"]["id"])

    assert ada["refresh_token"] not in str(kept)


async def test_login_takes_json_only(door: Door, ada):
    form = {"username": ada["username"], "password": ada["password"]}

    problem(await door.client.post(LOGIN, data=form), 415, "not_json")
