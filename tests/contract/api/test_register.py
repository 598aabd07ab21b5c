"""POST /api/v1/users/register."""

import json
import re
from datetime import datetime
from uuid import UUID

import pytest
from doorway import Door, fields, problem


async def test_the_answer_has_the_shape_that_clients_know(door: Door):
    answer = await door.register(door.person())

    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "application/json"
    assert set(body) == {"user", "token", "refresh_token", "token_type", "expires_in", "message"}
    assert set(body["user"]) == {
        "id", "username", "email", "status", "is_active", "email_verified", "created_at", "updated_at", "sequence",
        "role",
    }  # fmt: skip
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    assert body["message"]


async def test_the_user_in_the_answer_is_the_one_that_was_asked_for(door: Door):
    body = door.person(first_name="Ada", last_name="Lovelace", phone="+4915112345678", locale="zh-CN")

    user = (await door.register(body)).json()["user"]

    assert {name: user[name] for name in body if name != "password"} == {
        name: value for name, value in body.items() if name != "password"
    }
    assert (user["status"], user["is_active"], user["email_verified"], user["sequence"]) == ("active", True, False, 1)
    assert UUID(user["id"]).version == 7
    assert user["created_at"] == user["updated_at"]
    assert datetime.fromisoformat(user["created_at"]).utcoffset() is not None


async def test_the_password_of_the_readme_is_accepted(door: Door):
    assert (await door.register(door.person(password="password123"))).status_code == 201


async def test_the_tokens_of_the_answer_are_good_for_a_session(door: Door):
    signed_in = (await door.register(door.person())).json()

    assert (await door.me(signed_in["token"])).json() == {"user": signed_in["user"]}
    assert re.fullmatch(r"[A-Za-z0-9_-]{70}", signed_in["refresh_token"])


async def test_a_registration_stores_the_user_the_session_and_the_event_together(door: Door):
    before = await door.stored()
    user = (await door.register(door.person(), X_Request_Id="req-7")).json()["user"]
    after = await door.stored()

    assert {table: after[table] - before[table] for table in after} == {
        "users": 1, "sessions": 1, "event_log": 1, "outbox": 1, "idempotency_keys": 0,
    }  # fmt: skip
    payload, headers, key = (
        await door.world.rows("select payload, headers, aggregateid from outbox where aggregateid = %s", user["id"])
    )[0]
    assert key == user["id"]
    assert headers["request_id"] == "req-7"
    assert headers["event_type"] == "user.registered"
    assert b'"sequence":1' in payload
    assert b"password" not in payload


@pytest.mark.parametrize(
    ("username", "email", "error"),
    [
        ("{name}", "other-{email}", "username_taken"),
        ("{NAME}", "other-{email}", "username_taken"),
        ("other-{name}", "{email}", "email_taken"),
        ("other-{name}", "{EMAIL}", "email_taken"),
        ("{NAME}", "{EMAIL}", "username_taken"),
    ],
)
async def test_a_taken_name_or_address_is_409_in_any_case(door: Door, username: str, email: str, error: str):
    first = door.person()
    words = {"name": first["username"], "email": first["email"]}
    words |= {name.upper(): word.upper() for name, word in words.items()}
    assert (await door.register(first)).status_code == 201

    async with door.nothing_stored():
        answer = await door.register(door.person(username=username.format_map(words), email=email.format_map(words)))
        problem(answer, 409, error)


async def test_a_user_keeps_the_case_of_its_name(door: Door):
    assert (await door.register(door.person(username="AdaLovelace"))).json()["user"]["username"] == "AdaLovelace"


async def test_every_wrong_field_is_named(door: Door):
    wrong = {
        "username": "a", "email": "nowhere", "password": "short", "first_name": "A\n", "last_name": "",
        "phone": "0151", "locale": "fr", "is_admin": True,
    }  # fmt: skip

    async with door.nothing_stored():
        body = problem(await door.register(wrong), 400, "invalid_fields")

    assert fields(body) == {
        "username": "length", "email": "address", "password": "length", "first_name": "character",
        "last_name": "length", "phone": "format", "locale": "type", "is_admin": "unknown",
    }  # fmt: skip
    assert all(name in body["message"] for name in wrong)


async def test_missing_fields_and_wrong_types_are_named_together(door: Door):
    async with door.nothing_stored():
        body = problem(await door.register({"username": 7, "email": None}), 400, "invalid_fields")

    assert fields(body) == {"username": "type", "email": "type", "password": "missing"}


@pytest.mark.parametrize(
    "username",
    [
        "аda",
        "\uff41da",
        "ad\u0430",
        "ada\u0301",
        "\ufb01nn",
        "ada\x00",
        "a\nda",
        "ada\u200b",
        "\u202eada",
        "ada\u00a0",
        "😀😀😀",
    ],
    ids=ascii,
)
async def test_a_name_with_control_characters_or_look_alikes_is_refused_with_a_reason(door: Door, username: str):
    async with door.nothing_stored():
        body = problem(await door.register(door.person(username=username)), 400, "invalid_fields")

    assert fields(body) == {"username": "character"}
    assert "U+" in body["message"]


async def test_chinese_names_are_welcome(door: Door):
    user = (await door.register(door.person(username="张三丰", first_name="三丰", last_name="张"))).json()["user"]

    assert (user["username"], user["first_name"], user["last_name"]) == ("张三丰", "三丰", "张")


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"username=ada", b"\xff\xfe", b'{"username":"\\ud800"}', b"[" * 60_000, b"null garbage",
        b'{"username":"ada","email":"ada@example.com","password":"password123"',
    ],
    ids=lambda body: ascii(body[:20]),
)  # fmt: skip
async def test_broken_json_is_400_and_told_so(door: Door, body: bytes):
    async with door.nothing_stored():
        assert "not JSON" in problem(await door.register(body), 400, "malformed_body")["message"]


async def test_an_empty_body_is_400_and_told_what_to_send(door: Door):
    assert "send a JSON object" in problem(await door.register(b""), 400, "malformed_body")["message"]


@pytest.mark.parametrize("body", [[], "text", 7, None, True], ids=ascii)
async def test_a_body_that_is_no_object_is_400(door: Door, body: object):
    async with door.nothing_stored():
        problem(await door.register(body), 400, "invalid_fields")


async def test_ten_thousand_unknown_fields_get_a_short_answer(door: Door):
    answer = await door.register({f"f{number}": 1 for number in range(5_000)})

    problem(answer, 400, "invalid_fields")
    assert len(answer.content) < 20_000


@pytest.mark.parametrize("size", [65_537, 10_000_000])
async def test_a_body_that_is_too_large_is_413(door: Door, size: int):
    async with door.nothing_stored():
        assert "max_body_bytes" in problem(await door.register(b" " * size), 413, "body_too_large")["message"]


async def test_a_large_body_without_a_length_is_413_as_well(door: Door):
    async def endless():
        for _ in range(200):
            yield b" " * 50_000

    answer = await door.client.post(
        "/api/v1/users/register", content=endless(), headers={"Content-Type": "application/json"}
    )
    problem(answer, 413, "body_too_large")


async def test_a_body_of_the_largest_size_is_read(door: Door):
    body = json.dumps(door.person()).encode().ljust(65_536)

    assert (await door.register(body)).status_code == 201


async def test_the_password_is_kept_as_an_argon2id_hash_only(door: Door):
    body = door.person(password="a very particular password")
    await door.register(body)

    kept = await door.world.value("select password_hash from users where username = %s", body["username"])
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
