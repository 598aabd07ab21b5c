"""Every path that changes a user leaves its event; a new path has to be put into one of the tables here."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

import httpx
import pytest
from doorway import Door
from owner import USERS, Owner, give_role, owner_at, post

from usercenter.cli.commands import app

ADMIN = "/api/v1/admin"


class Cast(NamedTuple):
    """Who takes part in a call: the door, a user to be changed, and an admin."""

    door: Door
    user: Owner
    admin: Owner


Call = Callable[[Cast], Awaitable[httpx.Response]]


def own(method: str, path: str, body: Any) -> Call:
    """The user's own request; `password` stands for the present one."""

    def call(cast: Cast) -> Awaitable[httpx.Response]:
        filled = {name: cast.user.password if value is PASSWORD else value for name, value in body.items()}
        return cast.user.send(method, path, filled)

    return call


def by_admin(method: str, path: str, body: Any = None) -> Call:
    """An admin's request about the user."""
    return lambda cast: cast.admin.send(method, f"{ADMIN}/users/{cast.user.id}{path}", body)


async def register(cast: Cast) -> httpx.Response:
    answer = await cast.door.register(cast.door.person())
    cast.user.id = answer.json()["user"]["id"]
    return answer


async def log_in(cast: Cast) -> httpx.Response:
    return await cast.door.log_in({"username": cast.user.body["username"], "password": cast.user.password})


async def reset_password(cast: Cast) -> httpx.Response:
    await post(cast.door, "/password/forgot", {"email": cast.user.body["email"]})
    token = await cast.user.mailed_token("password_reset")
    return await post(cast.door, "/password/reset", {"token": token, "new_password": "another-one"})


async def confirm_email(cast: Cast) -> httpx.Response:
    body = {"email": cast.door.world.email(f"n{uuid4().hex[:8]}"), "password": cast.user.password}
    await cast.user.send("POST", "/me/email", body)
    return await post(cast.door, "/email/confirm", {"token": await cast.user.mailed_token("email_change")})


async def import_one(cast: Cast) -> httpx.Response:
    name = f"imported{uuid4().hex[:8]}"
    answer = await cast.door.client.post(
        f"{ADMIN}/users/import",
        content=f"username,email,password\n{name},{cast.door.world.email(name)},password123\n".encode(),
        headers={"Content-Type": "text/csv", "Authorization": f"Bearer {cast.admin.token}"},
    )
    assert answer.status_code == 200, answer.text
    cast.user.id = str(await cast.door.world.value("select id from users where username = %s", name))
    return answer


PASSWORD: Final = object()
CHANGES: Final[dict[str, tuple[str, Call]]] = {
    f"POST {USERS}/register": ("user.registered", register),
    f"POST {USERS}/login": ("user.logged_in", log_in),
    f"PUT {USERS}/me": ("user.updated", own("PUT", "/me", {"username": "another.name"})),
    f"PATCH {USERS}/me": ("user.updated", own("PATCH", "/me", {"first_name": "Ada"})),
    f"DELETE {USERS}/me": ("user.deleted", own("DELETE", "/me", {"password": PASSWORD})),
    f"PUT {USERS}/me/password": (
        "user.password_changed",
        own("PUT", "/me/password", {"old_password": PASSWORD, "new_password": "another-one"}),
    ),
    f"POST {USERS}/password/reset": ("user.password_changed", reset_password),
    f"POST {USERS}/email/confirm": ("user.updated", confirm_email),
    f"PUT {USERS}/me/settings": (
        "user.updated",
        own("PUT", "/me/settings", {"locale": "zh-CN", "time_zone": "Asia/Shanghai"}),
    ),
    f"PATCH {USERS}/me/settings": ("user.updated", own("PATCH", "/me/settings", {"time_zone": "Europe/Berlin"})),
    f"PATCH {ADMIN}/users/{{user_id}}": ("user.updated", by_admin("PATCH", "", {"last_name": "Lovelace"})),
    f"PATCH {ADMIN}/users/{{user_id}}/status": (
        "user.status_changed",
        by_admin("PATCH", "/status", {"status": "suspended", "reason": "a test"}),
    ),
    f"PUT {ADMIN}/users/{{user_id}}/role": ("user.updated", by_admin("PUT", "/role", {"role": "auditor"})),
    f"DELETE {ADMIN}/users/{{user_id}}": ("user.deleted", by_admin("DELETE", "")),
    f"POST {ADMIN}/users/import": ("user.registered", import_one),
}
"""Changes a user: this call leaves this event."""

CHANGES_NO_USER: Final = {
    f"POST {USERS}/refresh": "a session goes on; its login was told",
    f"POST {USERS}/logout": "a session ends, the account is what it was",
    f"DELETE {USERS}/me/sessions": "as logout",
    f"DELETE {USERS}/me/sessions/{{session_id}}": "as logout",
    f"POST {USERS}/password/forgot": "asks for a mail; nothing is changed before its token is used",
    f"POST {USERS}/me/email": "asks for a mail; nothing is changed before its token is used",
    f"POST {ADMIN}/webhooks": "about a receiver",
    f"PATCH {ADMIN}/webhooks/{{webhook_id}}": "about a receiver",
    f"DELETE {ADMIN}/webhooks/{{webhook_id}}": "about a receiver",
    f"POST {ADMIN}/webhooks/{{webhook_id}}/rotate-secret": "about a receiver",
    f"POST {ADMIN}/webhooks/{{webhook_id}}/end-rotation": "about a receiver",
    f"POST {ADMIN}/webhooks/{{webhook_id}}/deliveries/{{delivery_id}}/redeliver": "tells once more what was told",
    f"POST {ADMIN}/webhooks/{{webhook_id}}/test": "tells a receiver of nobody",
}
"""Changes no user, because …"""

COMMANDS: Final = {
    "user status": ("user.status_changed", ["{id}", "suspended"]),
    "user role": ("user.updated", ["{id}", "auditor"]),
    "user delete": ("user.deleted", ["{id}", "--yes"]),
    "user import": ("user.registered", ["{file}"]),
}
"""Commands that change a user: with these arguments this one leaves this event."""

COMMANDS_THAT_CHANGE_NO_USER: Final = {
    "user show": "asks",
    "user timeline": "asks",
    "user export": "asks",
}
"""Other groups of commands are about configuration, topics, mails, events and receivers."""


@pytest.fixture(scope="module")
async def admin(door: Door) -> Owner:
    owner = await owner_at(door)
    await give_role(owner, "admin")
    return owner


async def test_every_route_that_is_no_question_is_in_one_of_the_tables(door: Door):
    paths = (await door.client.get("/openapi.json")).json()["paths"]
    found = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods} - {
        f"GET {path}" for path in paths
    }

    assert found == {*CHANGES, *CHANGES_NO_USER}, "put a new route into one of the tables of this file"
    assert not CHANGES.keys() & CHANGES_NO_USER.keys()


@pytest.mark.parametrize("route", CHANGES)
async def test_a_change_leaves_its_event_in_the_log_and_on_the_way_to_kafka(door: Door, admin: Owner, route):
    type_, call = CHANGES[route]
    cast = Cast(door, await owner_at(door), admin)

    answer = await call(cast)

    assert answer.is_success, answer.text
    last = "select id, type, payload ->> 'actor' from event_log where user_id = %s order by sequence desc limit 1"
    id_, told, actor = (await door.world.rows(last, cast.user.id))[0]
    assert told == type_
    assert actor == (admin.id if "/admin/" in route else cast.user.id)
    assert await door.world.rows("select 1 from outbox where id = %s and type = %s", id_, type_)
    present = await door.world.value("select sequence from users where id = %s", cast.user.id)
    assert present == await door.world.value("select max(sequence) from event_log where user_id = %s", cast.user.id)


def test_every_command_about_users_is_in_one_of_the_tables():
    found = {f"user {name}" for name in app["user"] if not name.startswith("-")}

    assert found == {*COMMANDS, *COMMANDS_THAT_CHANGE_NO_USER}, "put a new command into one of the tables of this file"


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_that_changes_a_user_leaves_its_event(door: Door, tmp_path: Path, command):
    type_, arguments = COMMANDS[command]
    user, name, file = await owner_at(door), f"imported{uuid4().hex[:8]}", tmp_path / "users.csv"
    file.write_text(f"username,email\n{name},{door.world.email(name)}\n")
    filled = [argument.format(id=user.id, file=file) for argument in arguments]

    status, said = await door.world.command(*command.split(), *filled)

    assert status == 0, said
    changed = user.id
    if type_ == "user.registered":
        changed = str(await door.world.value("select id from users where username = %s", name))
    last = "select id, type from event_log where user_id = %s order by sequence desc limit 1"
    id_, told = (await door.world.rows(last, changed))[0]
    assert told == type_
    assert await door.world.rows("select 1 from outbox where id = %s", id_)
