"""`/api/v1/admin/users`: finding users, changing them, and who may."""

import time
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from doorway import Door, fields, problem
from psycopg import sql

from usercenter.users import directory
from usercenter.users.directory import SORTS, Search

USERS = "/api/v1/admin/users"
CROWD = """
insert into users (id, username, username_key, email, email_key, password_hash, first_name, last_name, sequence,
    status, created_at, updated_at)
select gen_random_uuid(), 'Crowd' || i, 'crowd' || i, 'c' || i || '@crowd.example', 'c' || i || '@crowd.example', '',
    'First' || i % 500, 'Last' || i, 1, case when i % 10 = 0 then 'suspended' else 'active' end,
    '2020-01-01T00:00Z'::timestamptz + i / 2 * interval '1 minute', now()
from generate_series(1, 10000) i
"""


class Person:
    """Somebody who is logged in."""

    def __init__(self, door: Door, body: dict[str, Any]) -> None:
        self.door = door
        self.id = body["user"]["id"]
        self.username = body["user"]["username"]
        self.headers = {"Authorization": f"Bearer {body['token']}"}

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.door.client.get(path, params=query or None, headers=self.headers)

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        written = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.door.client.request(method, path, json=body, headers=self.headers | written)


async def new_person(door: Door, role: str = "user") -> Person:
    body = (await door.register(door.person())).json()
    async with door.world.database.transaction() as tx:
        await tx.execute("update users set role = %s where id = %s", (role, body["user"]["id"]))
    return Person(door, body)


@pytest.fixture(scope="module")
async def admin(door: Door) -> Person:
    async with door.world.database.transaction() as tx:
        await tx.execute(CROWD)
        await tx.execute("analyze users")  # as autovacuum does it after a while
    return await new_person(door, "admin")


@pytest.fixture(scope="module")
async def auditor(door: Door) -> Person:
    return await new_person(door, "auditor")


async def follow(person: Person, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await person.get(USERS, size=100, **query, **cursor)
        assert answer.status_code == 200, answer.text
        found += answer.json()["users"]
        if answer.json()["next_cursor"] is None:
            return found
        cursor = {"cursor": answer.json()["next_cursor"]}


@pytest.mark.parametrize("sort", SORTS)
async def test_the_pages_hold_everybody_once_in_each_order(admin: Person, sort: str):
    found = await follow(admin, sort=sort, email="c99")

    keys = [each[sort.removeprefix("-")] for each in found]
    assert len({each["id"] for each in found}) == len(found) == 111
    assert keys == sorted(keys, reverse=sort.startswith("-"))


async def test_ten_thousand_users_are_paged_to_the_end(admin: Person):
    began = time.monotonic()
    found = await follow(admin, username="crowd")

    assert len({each["id"] for each in found}) == 10_000
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("sort", SORTS)
async def test_a_page_in_the_middle_reads_a_range_of_an_index(door: Door, admin: Person, sort):
    async with door.world.database.transaction() as tx:
        middle = await directory.find_users(tx, Search(), sort=sort, limit=1, offset=5_000)
        after = directory.position_of(middle[0], sort)
        statement, values = directory.page_statement(Search(), sort=sort, limit=101, after=after)
        cursor = await tx.connection.execute(sql.SQL("explain (analyze, format json) ") + statement, values)
        [[plan]] = await cursor.fetchall()

    text = str(plan)
    assert "Seq Scan" not in text
    assert "'Sort" not in text
    assert plan[0]["Execution Time"] < 50


async def test_a_prefix_of_either_name_or_address_is_found_by_indexes(door: Door, admin: Person):
    async with door.world.database.transaction() as tx:
        statement, values = directory.page_statement(Search(q="crowd777"), sort="created_at", limit=21)
        [[plan]] = await (await tx.connection.execute(sql.SQL("explain (format json) ") + statement, values)).fetchall()

    assert "Seq Scan" not in str(plan)
    assert {each["username"] for each in await follow(admin, q="CROWD777")} == {
        "Crowd777", *(f"Crowd777{i}" for i in range(10))
    }  # fmt: skip
    assert len(await follow(admin, q="first49")) == 20 * 11
    assert [each["username"] for each in await follow(admin, q="last4711")] == ["Crowd4711"]


async def test_filters_narrow_and_the_total_is_told_when_asked(admin: Person):
    query = {"status": "suspended", "created_from": "2020-01-01T01:00:00Z", "created_to": "2020-01-01T02:00:00"}
    answer = (await admin.get(USERS, total=True, size=5, **query)).json()

    assert answer["total"] == 12
    assert {each["status"] for each in answer["users"]} == {"suspended"}
    assert (await admin.get(USERS, **query)).json()["total"] is None
    assert [each["id"] for each in await follow(admin, role="admin")] == [admin.id]


async def test_small_lists_have_pages_and_the_list_is_at_both_addresses(admin: Person):
    second = (await admin.get("/api/v1/users", username="crowd12", size=3, page=2)).json()["users"]

    assert second == (await admin.get(USERS, username="crowd12", size=6)).json()["users"][3:]
    assert fields(problem(await admin.get(USERS, size=100, page=101), 400, "invalid_fields")) == {"page": "depth"}


@pytest.mark.parametrize("text", ["%", "_", "\\", "crowd%", "'; drop table users; --", "crowd_", "ﬀ", "𝕏" * 50])
@pytest.mark.parametrize("name", ["q", "username", "email"])
async def test_a_filter_is_text_and_never_a_pattern(admin: Person, name: str, text: str):
    assert (await admin.get(USERS, **{name: text})).json()["users"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "password_hash"},
        {"size": 0},
        {"size": 101},
        {"size": "x"},
        {"page": 0},
        {"status": "gone"},
        {"role": "root"},
        {"created_from": "yesterday"},
        {"q": "a\x00"},
        {"q": ""},
        {"q": "a" * 255},
        {"cursor": "x"},
        {"cursor": "é"},
        {"cursor": "A" * 80},
        {"total": "maybe"},
    ],
)
async def test_a_wrong_filter_is_a_clear_400(admin: Person, query: dict[str, Any]):
    body = problem(await admin.get(USERS, **query), 400, "invalid_fields")

    assert list(fields(body)) == list(query)


async def test_a_cursor_serves_its_own_query_alone(admin: Person):
    cursor = (await admin.get(USERS, username="crowd", size=2)).json()["next_cursor"]

    assert (await admin.get(USERS, username="crowd", cursor=cursor)).status_code == 200
    for query in ({}, {"username": "crow"}, {"username": "crowd", "sort": "-created_at"}):
        problem(await admin.get(USERS, cursor=cursor, **query), 400, "invalid_fields")
    changed = cursor[:-4] + ("AAAA" if cursor[-4:] != "AAAA" else "BBBB")
    problem(await admin.get(USERS, username="crowd", cursor=changed), 400, "invalid_fields")


async def test_deleted_users_are_listed_only_when_asked_for(door: Door, admin: Person):
    gone = await new_person(door)

    assert (await admin.send("DELETE", f"{USERS}/{gone.id}")).status_code == 204
    assert await follow(admin, username="deleted-") == []
    assert gone.id in [each["id"] for each in await follow(admin, status="deleted")]


READS = [USERS, "/api/v1/users", f"{USERS}/export", *(f"{USERS}/{{id}}{what}" for what in ("", "/logins", "/events"))]
READS += [f"{USERS}/{{id}}/security-log", "/api/v1/admin/statistics?metric=logins&from=2026-01-01&to=2026-01-02"]


@pytest.mark.parametrize("path", READS)
async def test_admins_and_auditors_read_and_nobody_else(door: Door, admin: Person, auditor: Person, path: str):
    user = await new_person(door)
    path = path.format(id=user.id)

    problem(await door.client.get(path), 401, "token_invalid")
    problem(await user.get(path), 403, "not_allowed")
    assert (await auditor.get(path)).status_code == 200
    assert (await admin.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", {"first_name": "Eve"}),
        ("PATCH", "/status", {"status": "suspended"}),
        ("PUT", "/role", {"role": "admin"}),
        ("DELETE", "", None),
    ],
)
async def test_only_admins_change_and_each_change_tells_who_did_it(  # noqa: PLR0917  # fixtures
    door: Door, admin: Person, auditor: Person, method, path, body
):
    user = await new_person(door)
    where = f"{USERS}/{user.id}{path}"

    async with door.nothing_stored():
        problem(await door.client.request(method, where, json=body), 401, "token_invalid")
        problem(await user.send(method, where, body), 403, "not_allowed")
        problem(await auditor.send(method, where, body), 403, "not_allowed")
        problem(await admin.send(method, where, body, If_Match='"7"'), 412, "version_conflict")
        problem(await admin.send(method, f"{USERS}/{uuid4()}{path}", body), 404, "user_not_found")
    tag = (await admin.get(f"{USERS}/{user.id}")).headers["ETag"]
    answer = await admin.send(method, where, body, If_Match=tag)

    assert answer.status_code in {200, 204}, answer.text
    events = (await admin.get(f"{USERS}/{user.id}/events")).json()["events"]
    assert events[0]["event"]["actor"] == admin.id
    assert [each["sequence"] for each in events] == [2, 1]
    if answer.content:
        assert answer.headers["ETag"] == '"2"'
        assert body.items() <= answer.json()["user"].items()


async def test_a_suspension_has_its_reason_and_ends_the_sessions(door: Door, admin: Person):
    user = await new_person(door)
    answer = await admin.send("PATCH", f"{USERS}/{user.id}/status", {"status": "suspended", "reason": "fraud"})

    assert answer.json()["user"]["status"] == "suspended"
    problem(await user.get("/api/v1/users/me"), 401, "token_invalid")
    event = (await admin.get(f"{USERS}/{user.id}/events")).json()["events"][0]["event"]
    assert (event["old_status"], event["new_status"], event["reason"]) == ("active", "suspended", "fraud")


async def test_auditors_see_events_without_personal_data(door: Door, admin: Person, auditor: Person):
    user = await new_person(door)
    await admin.send("PATCH", f"{USERS}/{user.id}", {"first_name": "Very Personal"})
    answer = await auditor.get(f"{USERS}/{user.id}/events")

    assert [each["type"] for each in answer.json()["events"]] == ["user.updated", "user.registered"]
    assert answer.json()["is_masked"]
    assert user.username not in answer.text
    assert "Very Personal" not in answer.text
    assert "example.com" not in answer.text
    assert "Very Personal" in (await admin.get(f"{USERS}/{user.id}/events")).text


async def test_the_timeline_has_pages(door: Door, admin: Person):
    user = await new_person(door)
    for name in ("A", "B", "C"):
        await admin.send("PATCH", f"{USERS}/{user.id}", {"first_name": name})
    first = (await admin.get(f"{USERS}/{user.id}/events", limit=3)).json()
    rest = (await admin.get(f"{USERS}/{user.id}/events", before=first["next_before"])).json()

    assert [each["sequence"] for each in first["events"] + rest["events"]] == [4, 3, 2, 1]
    assert rest["next_before"] is None


async def test_the_last_admin_stays(door: Door, admin: Person):
    me = f"{USERS}/{admin.id}"
    async with door.world.database.transaction() as tx:
        await tx.execute("update users set role = 'user' where role = 'admin' and id <> %s", (admin.id,))
    for method, path, body in (
        ("PATCH", "/status", {"status": "suspended"}),
        ("PUT", "/role", {"role": "auditor"}),
        ("DELETE", "", None),
    ):
        problem(await admin.send(method, me + path, body), 409, "last_admin")
    second = await new_person(door, "admin")

    assert (await second.send("PUT", f"{USERS}/{second.id}/role", {"role": "user"})).status_code == 200
    problem(await second.get(me), 403, "not_allowed")


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        ("/status", {"status": "deleted"}, "status"),
        ("/status", {"status": "suspended", "reason": "x" * 501}, "reason"),
        ("/status", {"status": "suspended", "reason": "\x00"}, "reason"),
        ("", {"email": "new@example.com"}, "email"),
        ("", {"role": "admin"}, "role"),
        ("", {"username": "аda"}, "username"),
    ],
)
async def test_a_wrong_change_names_its_field(  # noqa: PLR0917  # fixtures
    door: Door, admin: Person, auditor: Person, path, body, wrong
):
    body = problem(await admin.send("PATCH", f"{USERS}/{auditor.id}{path}", body), 400, "invalid_fields")

    assert list(fields(body)) == [wrong]


STATISTICS = "/api/v1/admin/statistics"


async def test_statistics_have_a_point_for_each_step(door: Door, admin: Person):
    async with door.world.database.transaction() as tx:
        await tx.execute("insert into statistics values ('logins', 'day', '2026-03-02T00:00Z', 7)")
    answer = await admin.get(
        STATISTICS, **{"metric": "logins", "from": "2026-03-01", "to": "2026-03-04", "step": "day"}
    )

    assert answer.status_code == 200, answer.text
    assert [point["value"] for point in answer.json()["points"]] == [0, 7, 0]
    assert datetime.fromisoformat(answer.json()["points"][1]["at"]) == datetime.fromisoformat("2026-03-02T00:00Z")
    assert answer.json()["time_zone"] == "UTC"


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ({"metric": "heights"}, "metric"),
        ({"step": "year"}, "step"),
        ({"from": "soon"}, "from"),
        ({"to": "2026-03-01T00:00:00Z"}, "to"),
        ({"step": "minute"}, "to"),
        ({"metric": "active_users", "step": "minute", "to": "2026-03-01T01:00:00Z"}, "step"),
    ],
)
async def test_a_wrong_question_to_the_statistics_is_a_clear_400(admin: Person, query, wrong):
    asked = {"metric": "logins", "from": "2026-03-01T00:00:00Z", "to": "2026-03-15T00:00:00Z"} | query

    assert list(fields(problem(await admin.get(STATISTICS, **asked), 400, "invalid_fields"))) == [wrong]


async def test_a_question_to_the_statistics_without_its_parts_names_each(admin: Person):
    refused = problem(await admin.get(STATISTICS), 400, "invalid_fields")

    assert refused["message"] == "metric: is required; from: is required; to: is required"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"status": "frozen"}, "status: is none of active, inactive, suspended, deleted"),
        ({"size": "0"}, "size: expected integer >= 1"),
        ({"page": "first"}, "page: expected integer"),
    ],
)
async def test_a_refused_filter_says_what_is_allowed_in_words_of_json(admin: Person, query, message):
    assert problem(await admin.get(USERS, **query), 400, "invalid_fields")["message"] == message


def test_every_metric_can_be_asked_for():
    from typing import get_args

    from usercenter.api.statistics import MetricName
    from usercenter.users.statistics import READABLE

    assert set(get_args(MetricName)) == set(READABLE)
