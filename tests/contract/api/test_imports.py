"""Bulk import and export, through HTTP and by the command."""

import asyncio
import csv
import io
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import argon2
import bcrypt
import msgspec
import pytest
from doorway import Door, fields, problem
from harness import World, eventually
from msgspec.structs import replace
from owner import give_role, owner_at

IMPORT = "/api/v1/admin/users/import"
EXPORT = "/api/v1/admin/users/export"
CSV = {"Content-Type": "text/csv"}
NDJSON = {"Content-Type": "application/x-ndjson"}
WRONG = {100: "ab", 999: "аda", 1500: "user7", 2600: "user2599", 3000: "-x", 4000: "a b", 4999: "x" * 33}


@pytest.fixture(scope="module")
async def admin(door: Door) -> dict[str, str]:
    """The headers of an admin."""
    body = (await door.register(door.person())).json()
    async with door.world.database.transaction() as tx:
        await tx.execute("update users set role = 'admin' where id = %s", (body["user"]["id"],))
    return {"Authorization": f"Bearer {body['token']}", "Id": body["user"]["id"]}


async def send(door: Door, admin: dict[str, str], body: Any, **query: Any) -> dict[str, Any]:
    content = body if isinstance(body, bytes) else "".join(json.dumps(each) + "\n" for each in body).encode()
    answer = await door.client.post(
        IMPORT, content=content, params=query, headers=admin | (CSV if isinstance(body, bytes) else NDJSON)
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def five_thousand() -> list[str]:
    """Lines of CSV: a head and 5,000 records, 7 of them bad."""
    names = [WRONG.get(i, f"user{i}") for i in range(1, 5_001)]
    return [
        "username,email,first_name\n",
        *(f"{name},u{i}@import.example.com,Name {i}\n" for i, name in enumerate(names)),
    ]


async def test_passwords_hashes_and_nothing_are_taken(door: Door, admin):
    mine = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("a secret of argon2")
    theirs = bcrypt.hashpw(b"a secret of bcrypt", bcrypt.gensalt(4)).decode()
    body = await send(
        door,
        admin,
        [
            {"username": "with.password", "email": "p@example.com", "password": "a secret in clear"},
            {"username": "with.argon2", "email": "a@example.com", "password_hash": mine},
            {"username": "with.bcrypt", "email": "b@example.com", "password_hash": theirs, "locale": "zh-CN"},
            {"username": "with.nothing", "email": "n@example.com"},
        ],
    )

    assert (body["progress"]["accepted"], body["errors"]) == (4, [])
    for name, password in (
        ("with.password", "a secret in clear"),
        ("with.argon2", "a secret of argon2"),
        ("with.bcrypt", "a secret of bcrypt"),
        ("with.bcrypt", "a secret of bcrypt"),
    ):
        assert (await door.log_in({"username": name, "password": password})).status_code == 200
    problem(await door.log_in({"username": "with.nothing", "password": ""}), 401, "wrong_credentials")
    problem(await door.log_in({"username": "with.bcrypt", "password": "wrong"}), 401, "wrong_credentials")
    renewed = await door.world.value("select password_hash from users where username = 'with.bcrypt'")
    assert renewed.startswith("$argon2id$v=19$m=19456")


@pytest.mark.parametrize("welcome", [True, False])
async def test_each_account_tells_that_it_was_imported_by_whom_and_whether_to_welcome(door: Door, admin, welcome):
    name = f"told.{welcome}".lower()
    body = await send(door, admin, [{"username": name, "email": f"{name}@example.com"}], welcome=welcome)
    [[event]] = await door.world.rows(
        "select payload from event_log where payload ->> 'username' = %s and type = 'user.registered'", name
    )

    assert event["data"] == {"import": body["progress"]["id"], "welcome": welcome}
    assert (event["actor"], event["sequence"]) == (admin["Id"], 1)
    assert await door.world.value("select count(*) from outbox where id = %s", event["id"]) == 1


async def test_what_is_wrong_with_a_record_is_told_with_line_and_field_and_the_others_are_made(door: Door, admin):
    lines = [
        b"\xef\xbb\xbfusername,email,password,first_name",
        b'good.one,g1@example.com,,"Line\r',  # a quoted field over two lines, with a character that is not allowed
        b'break"',
        b"",
        b"only,two",
        b"good.two,g2@example.com,,Ann",
        b"good.two,g3@example.com,,Ann",
        b"good.three,G2@example.com,,",
        b"bad.password,g4@example.com,short,",
        b"\xff\xfe,g5@example.com,,",
        b",g6@example.com,,",
        b"=cmd,nowhere,,",
    ]
    body = await send(door, admin, b"\r\n".join(lines))

    assert [(each["line"], each["field"]) for each in body["errors"]] == [
        (2, "first_name"), (5, "row"), (7, "username"), (8, "email"), (9, "password"), (10, "row"), (11, "username"),
        (12, "email"), (12, "username"),
    ]  # fmt: skip
    assert (body["progress"]["accepted"], body["progress"]["refused"]) == (1, 8)
    assert "short" not in str(body["errors"])


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"role": "admin"}, "role"),
        ({"password_hash": "$argon2id$v=19$m=4194304,t=3,p=1$c29tZXNhbHQ$" + "A" * 43}, "password_hash"),
        ({"password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"}, "password_hash"),
        ({"password_hash": "$2b$31$" + "a" * 53}, "password_hash"),
        ({"first_name": 5}, "first_name"),
        ({"first_name": "a\x00b"}, "first_name"),
        ({"locale": "tlh"}, "locale"),
        ({"phone": "110"}, "phone"),
    ],
)
async def test_a_record_follows_the_rules_of_a_registration(door: Door, admin, record, field):
    body = await send(door, admin, [{"username": "ruled", "email": "ruled@example.com"} | record])

    assert [each["field"] for each in body["errors"]] == [field]
    assert body["progress"]["accepted"] == 0


async def test_what_cannot_be_an_import_is_refused_as_a_whole(door: Door, admin):
    async def refused(content: bytes, kind: str, **query: Any) -> Any:
        return await door.client.post(IMPORT, content=content, params=query, headers=admin | {"Content-Type": kind})

    head = problem(await refused(b"name,email,email\nx,y,z", "text/csv"), 400, "invalid_fields")
    assert fields(head) == {"name": "unknown", "username": "missing", "email": "twice"}
    problem(await refused(b"{}", "application/json"), 415, "not_importable")
    problem(await refused(b"", "text/csv", id="x"), 400, "invalid_fields")
    first = await send(door, admin, [{"username": "same.id", "email": "same@example.com"}])
    other = json.dumps({"username": "other.id", "email": "other@example.com"}).encode()
    problem(await refused(other, "application/x-ndjson", id=first["progress"]["id"]), 409, "import_conflict")


async def test_a_line_that_never_ends_does_not_stop_the_others(door: Door, admin):
    long = b'{"username": "' + b"a" * 200_000 + b'"}\n'
    answer = await door.client.post(
        IMPORT, content=long + b'{"username":"behind.long","email":"bl@example.com"}', headers=admin | NDJSON
    )

    assert [(each["line"], each["field"]) for each in answer.json()["errors"]] == [(1, "row")]
    assert answer.json()["progress"]["accepted"] == 1


async def test_the_same_import_once_more_makes_nobody_twice(door: Door, admin):
    records = [{"username": f"again{i}", "email": f"again{i}@example.com"} for i in range(700)]
    first = await send(door, admin, records, id=str(uuid4()))
    before = await door.stored()
    again = await send(door, admin, records, id=first["progress"]["id"])

    assert again == first
    assert again["progress"]["accepted"] == 700
    assert await door.stored() == before


async def test_an_export_has_everybody_and_no_secret(door: Door, admin):
    count = await door.world.value("select count(*) from users where status <> 'deleted'")
    answer = await door.client.get(EXPORT, headers=admin)
    rows = [json.loads(line) for line in answer.text.splitlines()]
    table = list(
        csv.DictReader(io.StringIO((await door.client.get(EXPORT, params={"format": "csv"}, headers=admin)).text))
    )

    assert len(rows) == len(table) == count
    assert {row["id"] for row in rows} == {row["id"] for row in table}
    assert {row["email_verified"] for row in table} == {"false"}
    assert "$argon2" not in answer.text
    assert not any("password" in name for name in {*rows[0], *table[0]})
    some = await door.client.get(EXPORT, params={"username": "with.", "role": "user"}, headers=admin)
    assert len(some.text.splitlines()) == 4


@pytest.mark.parametrize(("kind", "name"), [("csv", "text/csv"), ("ndjson", "application/x-ndjson")])
async def test_an_export_is_called_what_it_is(door: Door, admin, kind: str, name: str):
    answer = await door.client.get(EXPORT, params={"format": kind}, headers=admin)

    assert answer.headers["Content-Type"].split(";")[0] == name


async def test_an_export_of_no_known_kind_is_refused_with_those_that_there_are(door: Door, admin):
    refused = problem(await door.client.get(EXPORT, params={"format": "xml"}, headers=admin), 400, "invalid_fields")

    assert refused["message"] == "format: is none of csv, ndjson"


async def test_a_name_that_would_be_a_formula_is_harmless_in_csv_and_itself_again_after_an_import(door: Door, admin):
    evil = "=HYPERLINK(1)"
    await send(door, admin, [{"username": "evil1", "email": "evil1@import.example.com", "first_name": evil}])
    exported = await door.client.get(EXPORT, params={"format": "csv", "username": "evil1"}, headers=admin)
    [row] = csv.DictReader(io.StringIO(exported.text))
    assert row["first_name"] == "'" + evil

    body = f"username,email,first_name\r\nevil2,evil2@import.example.com,{row['first_name']}\r\n".encode()
    await send(door, admin, body)
    assert await door.world.value("select first_name from users where username = 'evil2'") == evil


async def test_more_exports_than_may_be_at_a_time_are_told_to_come_again(world: World):
    config = replace(world.config, server=replace(world.config.server, concurrent_exports=1))
    await world.rows(
        "insert into users "
        "(id, username, username_key, email, email_key, password_hash, sequence, created_at, updated_at) "
        "select gen_random_uuid(), n, n, n || '@a.example.com', n || '@a.example.com', '', 1, now(), now() "
        "from (select 'user' || generate_series(1, 30000) as n) as names returning 1"
    )
    async with world.service(roles=["api"], config=config) as (service, client):
        admin = await owner_at(Door(world, service, client))
        await give_role(admin, "admin")
        headers = {"Authorization": f"Bearer {admin.token}"}
        async with client.stream("GET", EXPORT, headers=headers) as under_way:  # nothing of it is read
            assert under_way.status_code == 200
            refused = await client.get(EXPORT, headers=headers)
            problem(refused, 429, "too_many_requests")
            assert refused.headers["Retry-After"] == "30"
        await eventually(
            lambda: client.get(EXPORT, params={"username": "x"}, headers=headers),
            lambda answer: answer.status_code == 200,
            what="the place of a reader who left",
        )


@asynccontextmanager
async def command(world: World, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`usercenter …` on this world, with a stdin to write to."""
    with tempfile.NamedTemporaryFile("wb", suffix=".yaml") as file:
        file.write(msgspec.yaml.encode(world.config))
        file.flush()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "usercenter", *arguments,
            env={**os.environ, "USERCENTER_CONFIG": file.name},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            yield child
        finally:
            if child.returncode is None:
                child.kill()
            await child.communicate()


async def test_five_thousand_records_with_seven_bad_ones_and_a_kill_in_the_middle(world: World, tmp_path: Path):
    lines, id_ = five_thousand(), str(uuid4())
    file = tmp_path / "users.csv"
    file.write_text("".join(lines), encoding="utf-8")
    arguments = ("user", "import", "--id", id_, "--format", "csv")
    async with command(world, *arguments, "-") as child:
        assert child.stdin is not None
        child.stdin.write("".join(lines[:2_700]).encode())
        await eventually(
            lambda: world.value("select coalesce(max(lines_read), 0) from imports"), lambda n: n > 2_000, what="batches"
        )
        child.kill()
        await child.wait()
    made = await world.count("users")
    assert 1_990 < made < 2_700

    async with command(world, *arguments, str(file), "--json") as child:
        out, _ = await child.communicate()

    body = json.loads(out)
    assert child.returncode == 1
    assert (body["progress"]["accepted"], body["progress"]["refused"]) == (4_993, 7)
    assert {each["line"]: each["field"] for each in body["errors"]} == {line + 1: "username" for line in WRONG}
    assert await world.count("users") == await world.count("event_log") == await world.count("outbox") == 4_993
    assert await world.value("select count(distinct user_id) from event_log where sequence = 1") == 4_993
    actor = await world.value("select distinct payload ->> 'actor' from event_log")
    assert actor.startswith("operator:")


async def test_an_operator_shows_changes_and_deletes_users(world: World, tmp_path: Path):
    file = tmp_path / "one.ndjson"
    file.write_text('{"username": "ada", "email": "ada@example.com"}\n')
    assert (await world.command("user", "import", str(file)))[0] == 0
    shown = json.loads((await world.command("user", "show", "ADA@example.com", "--json"))[1])

    assert (shown["username"], shown["role"]) == ("ada", "user")
    assert "admin" in (await world.command("user", "role", "ada", "admin"))[1]
    status, said = await world.command("user", "role", shown["id"], "user")
    assert (status, "last active administrator" in said) == (1, True)
    for refused in (("status", "ada", "suspended"), ("delete", "ada", "--yes")):
        status, said = await world.command("user", *refused)
        assert (status, "last active administrator" in said) == (1, True)
    file.write_text('{"username": "bob", "email": "bob@example.com"}\n')
    await world.command("user", "import", str(file))
    await world.command("user", "role", "bob", "admin")
    assert "suspended" in (await world.command("user", "status", "ada", "suspended", "--reason", "a test"))[1]
    status, said = await world.command("user", "delete", "ada")
    assert (status, "ada (" in said, "Nothing was changed: say --yes to do it." in said) == (0, True, True)
    assert json.loads((await world.command("user", "export"))[1].splitlines()[0])["id"] == shown["id"]
    assert (await world.command("user", "delete", "ada", "--yes"))[0] == 0
    for name in ("ada", shown["id"]):
        status, said = await world.command("user", "show", name)
        assert (status, "usercenter user timeline ID" in said) == (1, True)
    types = await world.rows("select type, payload ->> 'actor' from event_log where user_id = %s", UUID(shown["id"]))
    assert [row[0] for row in types] == ["user.registered", "user.updated", "user.status_changed", "user.deleted"]
    assert all(row[1].startswith("operator:") for row in types)
