"""GET, PUT, PATCH and DELETE /api/v1/users/me, and PUT /me/password."""

import asyncio
from typing import Any

import pytest
from doorway import Door, fields, problem
from owner import Owner, owner_at


@pytest.fixture
async def ada(door: Door) -> Owner:
    return await owner_at(door, first_name="Ada", phone="+4915112345678")


async def test_every_answer_with_a_user_has_its_sequence_as_etag(door: Door):
    body = door.person()
    registered = await door.register(body)
    logged_in = await door.log_in({"username": body["username"], "password": body["password"]})
    me = await door.me(logged_in.json()["token"])

    for answer in (registered, logged_in, me):
        assert answer.headers["ETag"] == f'"{answer.json()["user"]["sequence"]}"'


async def test_patch_changes_what_is_given_and_null_clears(ada: Owner):
    answer = await ada.send("PATCH", "/me", {"last_name": "Lovelace", "phone": None})

    user = answer.json()["user"]
    assert (user["first_name"], user["last_name"], "phone" in user) == ("Ada", "Lovelace", False)
    assert answer.headers["ETag"] == '"2"'
    event = (await ada.events())[-1]
    assert (event["type"], event["actor"]) == ("user.updated", ada.id)
    assert event["changes"] == {"last_name": "Lovelace", "phone": None}


async def test_put_replaces_all_that_can_be_changed(ada: Owner):
    answer = await ada.send("PUT", "/me", {"username": ada.body["username"], "locale": "zh-CN"})

    user = answer.json()["user"]
    assert (user["locale"], user["email"]) == ("zh-CN", ada.body["email"])
    assert not {"first_name", "phone"} & set(user)


async def test_what_is_so_already_is_no_change_and_no_event(ada: Owner):
    for method, body in (
        ("PATCH", {}),
        ("PATCH", {"first_name": "Ada"}),
        ("PUT", {name: ada.body.get(name) for name in ("username", "first_name", "phone")}),
    ):
        answer = await ada.send(method, "/me", body)
        assert (answer.status_code, answer.headers["ETag"]) == (200, '"1"')
    assert len(await ada.events()) == 1


@pytest.mark.parametrize(
    ("method", "body", "wrong"),
    [
        ("PUT", {}, {"username": "missing"}),
        ("PUT", {"username": "ab", "phone": "1"}, {"username": "length", "phone": "format"}),
        ("PATCH", {"username": None}, {"username": "type"}),
        ("PATCH", {"username": "no spaces"}, {"username": "character"}),
        ("PATCH", {"first_name": ""}, {"first_name": "length"}),
        ("PATCH", {"email": "new@example.com"}, {"email": "unknown"}),
        ("PATCH", {"password": "password1234", "role": "admin"}, {"password": "unknown", "role": "unknown"}),
        ("PATCH", {"locale": "tlh"}, {"locale": "type"}),
        ("DELETE", {}, {"password": "missing"}),
    ],
)
async def test_a_wrong_change_names_every_wrong_field_and_changes_nothing(ada: Owner, method, body, wrong):
    assert fields(problem(await ada.send(method, "/me", body), 400, "invalid_fields")) == wrong
    assert len(await ada.events()) == 1


async def test_a_name_that_is_taken_is_409_in_any_case(door: Door, ada: Owner):
    other = await owner_at(door)

    problem(await ada.send("PATCH", "/me", {"username": other.body["username"].upper()}), 409, "username_taken")
    assert (await ada.send("PATCH", "/me", {"username": ada.body["username"].upper()})).status_code == 200


@pytest.mark.parametrize("if_match", ['"1"', "*"])
async def test_a_change_that_expects_the_present_version_is_made(ada: Owner, if_match):
    assert (await ada.send("PATCH", "/me", {"last_name": "L"}, If_Match=if_match)).status_code == 200


@pytest.mark.parametrize("if_match", ['"2"', '"0"', 'W/"1"', '"01"', '"abc"', '"99999999999999999999"'])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_change_that_expects_another_version_is_412_and_not_made(ada: Owner, method, if_match):
    body: dict[str, Any] = {"PUT": {"username": "somebody"}, "DELETE": {"password": ada.password}}.get(method, {})

    problem(await ada.send(method, "/me", body, If_Match=if_match), 412, "version_conflict")
    assert len(await ada.events()) == 1


@pytest.mark.parametrize("if_match", ["1", '"1', '"1", "2"', "W/", ""])
async def test_an_if_match_that_is_no_tag_is_400(ada: Owner, if_match):
    body = problem(await ada.send("PATCH", "/me", {"last_name": "L"}, If_Match=if_match), 400, "invalid_fields")
    assert fields(body) == {"If-Match": "header"}


async def test_of_two_changes_that_saw_the_same_version_one_is_made(ada: Owner):
    answers = await asyncio.gather(
        *(ada.send("PATCH", "/me", {"last_name": name}, If_Match='"1"') for name in ("One", "Two"))
    )

    assert sorted(answer.status_code for answer in answers) == [200, 412]


async def test_a_new_password_ends_the_other_sessions_at_once_and_keeps_this_one(door: Door, ada: Owner):
    other = await ada.again()

    answer = await ada.send("PUT", "/me/password", {"old_password": ada.password, "new_password": "another-one"})

    assert (answer.status_code, answer.headers["ETag"]) == (200, '"3"')
    assert (await ada.is_let_in(), await other.is_let_in()) == (True, False)
    for owner, status in ((ada, 200), (other, 401)):
        refreshed = await owner.send("POST", "/refresh", {"refresh_token": owner.refresh_token})
        assert refreshed.status_code == status
    problem(await door.log_in({"username": ada.body["username"], "password": ada.password}), 401, "wrong_credentials")
    assert (await door.log_in({"username": ada.body["username"], "password": "another-one"})).status_code == 200
    event = (await ada.events())[2]
    assert (event["type"], event["actor"]) == ("user.password_changed", ada.id)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/me/password", {"old_password": "wrong", "new_password": "another-one"}),
        ("DELETE", "/me", {"password": "wrong"}),
        ("POST", "/me/email", {"password": "wrong", "email": "new@example.com"}),
    ],
)
async def test_what_needs_the_password_is_403_without_it(ada: Owner, method, path, body):
    problem(await ada.send(method, path, body), 403, "wrong_password")
    assert len(await ada.events()) == 1
    assert await ada.is_let_in()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/me/password", {"old_password": "wrong", "new_password": "another-one"}),
        ("DELETE", "/me", {"password": "wrong"}),
    ],
)
async def test_a_wrong_present_password_counts_like_one_at_the_login(ada: Owner, method, path, body):
    await ada.send(method, path, body)
    failures = await ada.door.world.rows("select ip_address from login_failures where user_id = %s", ada.id)

    assert failures == [("127.0.0.1",)]


async def test_a_new_password_follows_the_rules(ada: Owner):
    answer = await ada.send("PUT", "/me/password", {"old_password": ada.password, "new_password": "short"})

    assert fields(problem(answer, 400, "invalid_fields")) == {"new_password": "length"}


async def test_of_two_new_passwords_at_once_one_is_set(ada: Owner):
    answers = await asyncio.gather(
        *(
            ada.send("PUT", "/me/password", {"old_password": ada.password, "new_password": new})
            for new in ("another-one", "another-two")
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200, 403]


async def test_a_deleted_account_is_gone_at_once_and_its_name_is_free(door: Door, ada: Owner):
    other = await ada.again()

    assert (await ada.send("DELETE", "/me", {"password": ada.password})).status_code == 204

    assert (await ada.is_let_in(), await other.is_let_in()) == (False, False)
    problem(await ada.send("POST", "/refresh", {"refresh_token": ada.refresh_token}), 401, "token_invalid")
    problem(await door.log_in({"username": ada.body["username"], "password": ada.password}), 401, "wrong_credentials")
    event = (await ada.events())[-1]
    assert (event["type"], event["deleted_by"], event["email"]) == ("user.deleted", ada.id, ada.body["email"])
    assert (await door.register(ada.body)).status_code == 201


ROUTES = [
    ("GET", "/me", None),
    ("PUT", "/me", {"username": "somebody"}),
    ("PATCH", "/me", {}),
    ("DELETE", "/me", {"password": "x"}),
    ("PUT", "/me/password", {"old_password": "x", "new_password": "another-one"}),
    ("POST", "/me/email", {"email": "new@example.com", "password": "x"}),
    ("GET", "/me/settings", None),
    ("PUT", "/me/settings", {"locale": "en", "time_zone": "UTC"}),
    ("PATCH", "/me/settings", {}),
    ("GET", "/me/sessions", None),
    ("DELETE", "/me/sessions", None),
    ("DELETE", "/me/sessions/00000000-0000-0000-0000-000000000000", None),
    ("GET", "/me/security-log", None),
    ("GET", "/00000000-0000-0000-0000-000000000000", None),
    ("POST", "/logout", None),
]


@pytest.fixture(scope="module")
async def suspended(door: Door) -> Owner:
    owner = await owner_at(door)
    await door.world.rows("update users set status = 'suspended' where id = %s returning id", owner.id)
    return owner


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_an_access_token_that_lets_nobody_in_lets_nobody_in_anywhere(suspended: Owner, method, path, body):
    problem(await suspended.send(method, path, body), 401, "token_invalid")
    problem(await suspended.send(method, path, body, Authorization="Basic YTpi"), 401, "token_invalid")
