"""`Idempotency-Key` on POST /register."""

import asyncio

import pytest
from doorway import REGISTER, Door, fields, problem
from harness import eventually

from usercenter.users.passwords import Passwords


class CountedPasswords(Passwords):
    """Passwords, and how many were hashed."""

    def __init__(self) -> None:
        super().__init__()
        self.hashed = 0

    async def hash(self, password: str) -> str:
        self.hashed += 1
        return await super().hash(password)


async def test_the_same_request_again_gets_the_same_answer_byte_for_byte(door: Door):
    body, before = door.person(), await door.stored()

    first = await door.register(body, Idempotency_Key="again")
    second = await door.register(body, Idempotency_Key="again")

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert first.headers["Content-Type"] == second.headers["Content-Type"]
    assert (await door.me(second.json()["token"])).status_code == 200
    after = await door.stored()
    assert {after[table] - before[table] for table in after} == {1}


async def test_without_the_key_the_same_request_is_a_conflict(door: Door):
    body = door.person()
    await door.register(body, Idempotency_Key="only once")

    problem(await door.register(body), 409, "username_taken")


async def test_the_same_key_with_another_body_is_422(door: Door):
    await door.register(door.person(), Idempotency_Key="used")

    async with door.nothing_stored():
        body = problem(await door.register(door.person(), Idempotency_Key="used"), 422, "idempotency_key_reused")
    assert "use a new key" in body["message"]


async def test_the_same_fields_with_another_password_are_another_request(door: Door):
    body = door.person()
    await door.register(body, Idempotency_Key="guess")

    stolen = await door.register(body | {"password": "password124"}, Idempotency_Key="guess")

    assert "token" not in problem(stolen, 422, "idempotency_key_reused")


@pytest.mark.parametrize("number", [2, 20])
async def test_requests_with_one_key_at_one_time_open_one_account_and_get_one_answer(door: Door, number: int):
    body, before = door.person(), await door.stored()

    answers = await asyncio.gather(*(door.register(body, Idempotency_Key=f"storm {number}") for _ in range(number)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    after = await door.stored()
    assert {after[table] - before[table] for table in after} == {1}


async def test_a_key_of_a_registration_that_failed_can_be_used_again(door: Door):
    taken = door.person()
    await door.register(taken)

    async with door.nothing_stored():
        failed = await door.register(door.person(username=taken["username"]), Idempotency_Key="second try")
        problem(failed, 409, "username_taken")
        problem(await door.register({"username": "a"}, Idempotency_Key="second try"), 400, "invalid_fields")
    assert (await door.register(door.person(), Idempotency_Key="second try")).status_code == 201


async def test_what_is_kept_shows_neither_tokens_nor_the_key_nor_the_request(door: Door):
    body = door.person(password="a secret of mine")
    answer = (await door.register(body, Idempotency_Key="key-in-plain")).json()

    kept = b"".join(
        bytes(part)
        for row in await door.world.rows("select key_hash, request_hash, answer from idempotency_keys")
        for part in row
    )
    for secret in (answer["token"], answer["refresh_token"], body["email"], body["password"], "key-in-plain"):
        assert secret.encode() not in kept


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_of_the_wrong_length_is_named(door: Door, key: str):
    async with door.nothing_stored():
        body = problem(await door.register(door.person(), Idempotency_Key=key), 400, "invalid_fields")

    assert fields(body) == {"Idempotency-Key": "header"}


async def test_a_key_may_have_255_characters_of_any_kind(door: Door):
    body, key = door.person(), "é" + "x" * 254

    answers = [
        await door.client.post(
            "/api/v1/users/register", json=body, headers=[(b"Idempotency-Key", key.encode("latin-1"))]
        )
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content


async def test_a_key_is_forgotten_after_its_retention_and_not_before(door: Door):
    old, young = door.person(), door.person()
    await door.register(old, Idempotency_Key="old")
    hours = door.world.config.retention.idempotency_key_hours
    async with door.world.database.transaction() as tx:
        await tx.execute("update idempotency_keys set created_at = now() - make_interval(hours => %s)", (hours + 1,))
    first = await door.register(young, Idempotency_Key="young")

    async with door.world.service(roles=["api"]):  # forgets when it starts, and then now and then
        count = "select count(*) from idempotency_keys"
        await eventually(lambda: door.world.rows(count), lambda rows: rows == [(1,)], what="the end of the old one")

    problem(await door.register(old, Idempotency_Key="old"), 409, "username_taken")
    assert (await door.register(young, Idempotency_Key="young")).content == first.content


async def test_the_answer_is_found_whatever_process_is_asked(door: Door):
    body = door.person()
    first = await door.register(body, Idempotency_Key="elsewhere")

    async with door.world.service(roles=["api"]) as (_, client):
        second = await client.post(
            "/api/v1/users/register",
            content=first.request.content,
            headers={"Content-Type": "application/json", "Idempotency-Key": "elsewhere"},
        )

    assert second.content == first.content


async def test_a_request_that_is_sent_again_costs_no_hash(door: Door):
    passwords, body = CountedPasswords(), door.person()
    async with door.world.service(roles=["api"], passwords=passwords) as (_, client):
        first = await client.post(REGISTER, json=body, headers={"Idempotency-Key": "cheap"})
        hashed = passwords.hashed
        again = await client.post(REGISTER, json=body, headers={"Idempotency-Key": "cheap"})
        other = await client.post(REGISTER, json=door.person(), headers={"Idempotency-Key": "cheap"})

    assert first.content == again.content
    assert other.status_code == 422
    assert (hashed, passwords.hashed) == (1, 1)
