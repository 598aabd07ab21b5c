"""What every answer has, and what every error looks like, whoever found it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from doorway import LOGIN, ME, REGISTER, Door, Lines, problem
from harness import eventually

STRANGE_PATHS = [
    "/",
    "/nope",
    "/schema",
    "/openapi.yaml",
    "/openapi.json/x",
    "/api",
    "/api/v1",
    "/%00",
    "/a/../b",
]


@pytest.mark.parametrize("path", STRANGE_PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_an_unknown_address_is_404_as_a_problem(door: Door, method: str, path: str):
    answer = await door.client.request(method, path)

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["error"] == "not_found"
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", REGISTER, "POST"),
        ("PUT", REGISTER, "POST"),
        ("POST", ME, "GET"),
        ("POST", "/live", "GET"),
        ("TRACE", LOGIN, "POST"),
    ],
)
async def test_another_method_is_405_as_a_problem_and_names_those_that_are_taken(door: Door, method, path, allowed):
    answer = await door.client.request(method, path)

    problem(answer, 405, "method_not_allowed")
    assert allowed in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/live", "/ready", "/health", "/metrics", "/openapi.json"])
async def test_head_is_get_without_the_body(door: Door, path: str):
    head, get = await door.client.head(path), await door.client.get(path)

    assert (head.status_code, head.headers["Content-Type"]) == (get.status_code, get.headers["Content-Type"])
    assert head.content == b""


async def test_head_of_what_only_takes_posts_is_405(door: Door):
    assert (await door.client.head(REGISTER)).status_code == 405


async def test_options_name_the_methods(door: Door):
    answer = await door.client.options(REGISTER)

    assert (answer.status_code, answer.content) == (204, b"")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/msgpack",
        "a;;;",
    ],
)
async def test_what_does_not_call_itself_json_is_415_and_told_what_to_send(door: Door, media_type: str):
    async with door.nothing_stored():
        answer = await door.register(door.person(), Content_Type=media_type)

    assert "Content-Type: application/json" in problem(answer, 415, "not_json")["message"]


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"],
)
async def test_every_name_of_json_is_read(door: Door, media_type: str):
    assert (await door.register(door.person(), Content_Type=media_type)).status_code == 201


async def test_a_body_without_a_name_is_taken_for_json(door: Door):
    answer = await door.client.post(REGISTER, content=json.dumps(door.person()).encode())

    assert "Content-Type" not in answer.request.headers
    assert answer.status_code == 201


@pytest.mark.parametrize("request_id", ["abc", "req-1.2:3_4", "x" * 128, "01980000-0000-7000-8000-000000000001"])
async def test_a_request_id_is_echoed(door: Door, request_id: str):
    for path in ("/live", "/nope"):
        answer = await door.client.get(path, headers={"X-Request-Id": request_id})
        assert answer.headers.get_list("X-Request-Id") == [request_id]


@pytest.mark.parametrize(
    "request_id",
    [b"", b"x" * 129, b"a b", b'"}{"event":"forged', b"<script>", b"a\tb", b"\xc3\xa9", b"%0d%0aSet-Cookie"],
)
async def test_a_hostile_request_id_is_replaced(door: Door, request_id: bytes):
    answer = await door.client.get("/nope", headers=[(b"X-Request-Id", request_id)])

    assert len(answer.headers["X-Request-Id"]) == 36
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


async def test_requests_without_an_id_get_one_each(door: Door):
    answers = [await door.client.get("/live") for _ in range(5)]

    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 5


async def test_no_answer_may_be_kept_by_a_cache(door: Door):
    for answer in (await door.client.get("/live"), await door.client.get("/nope"), await door.register(door.person())):
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_fault_of_ours_is_500_found_in_the_log_by_its_id_and_undone(door: Door, lines: Lines):
    damage = "alter table users add constraint odd check (false) not valid"
    async with refused_and_undone(door, lines, damage, "alter table users drop constraint odd") as answer:
        request_id = problem(answer, 500, "internal_error")["request_id"]
        (error,) = [line for line in lines() if line["event"] == "http.request_failed"]
        assert (error["request_id"], error["level"]) == (request_id, "error")
        assert "Traceback" in error["exception"]


async def test_a_table_that_is_not_there_is_503_found_in_the_log_by_its_id_and_undone(door: Door, lines: Lines):
    damage = "alter table sessions rename to gone"
    async with refused_and_undone(door, lines, damage, "alter table gone rename to sessions") as answer:
        request_id = problem(answer, 503, "schema_unfit")["request_id"]
        (error,) = [line for line in lines() if line["event"] == "http.schema_unfit"]
        assert (error["request_id"], error["level"]) == (request_id, "error")
        assert 'relation "sessions" does not exist' in error["error"]


@asynccontextmanager
async def refused_and_undone(door: Door, lines: Lines, damage: str, repair: str) -> AsyncIterator[httpx.Response]:
    """The answer to a registration on a damaged database; afterwards all is as before, and it can be sent again."""
    body = door.person(password="a very particular password")
    before = await door.stored()
    async with broken(door, damage, repair):
        answer = await door.register(body, Idempotency_Key=damage)
    yield answer
    for secret in (body["password"], body["email"], body["username"], "$argon2id$"):
        assert secret not in json.dumps(lines())
    assert await door.stored() == before
    assert (await door.register(body, Idempotency_Key=damage)).status_code == 201


@asynccontextmanager
async def broken(door: Door, damage: str, repair: str) -> AsyncIterator[None]:
    """The database with a fault."""
    async with door.world.database.transaction() as tx:
        await tx.execute(damage)  # type: ignore[arg-type]
    try:
        yield
    finally:
        async with door.world.database.transaction() as tx:
            await tx.execute(repair)  # type: ignore[arg-type]


async def test_the_log_of_a_request_has_its_id_and_nobodys_data(door: Door, lines: Lines):
    body = door.person(password="a very particular password", first_name="Augusta", phone="+4915112345678")
    login = {"username": body["username"], "password": body["password"]}
    signed_in = (await door.register(body, X_Request_Id="req-a", User_Agent="particular/1.0")).json()
    again = (await door.log_in(login, X_Request_Id="req-b")).json()
    await door.log_in(login | {"password": "a wrong password"}, X_Request_Id="req-c")
    await door.me(signed_in["token"])
    await door.register(body, X_Request_Id="req-d")
    await door.register(body | {"email": "a wrong address"}, X_Request_Id="req-e")

    answered = {line["request_id"]: line["status"] for line in lines() if line["event"] == "http.request_answered"}
    assert {"req-a": 201, "req-b": 200, "req-c": 401, "req-d": 409, "req-e": 400}.items() <= answered.items()
    written = json.dumps(lines())
    for who in (signed_in, again):
        assert who["token"] not in written
        assert who["refresh_token"] not in written
    for secret in (*body.values(), "a wrong password", "a wrong address", "particular/1.0"):
        assert secret not in written


async def test_a_client_that_leaves_in_the_middle_is_no_fault_of_ours(door: Door, lines: Lines):
    host, port = door.service.url.removeprefix("http://").split(":")
    async with door.nothing_stored():
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(head_of(length=1000) + b'{"username":')
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await eventually(lambda: [line for line in lines() if line.get("route") == REGISTER], what="the end")

    assert [line["status"] for line in lines() if line.get("route") == REGISTER] == [400]
    assert not [line for line in lines() if line["level"] in {"error", "warning"}]


async def test_clients_that_do_not_wait_for_the_answer_hold_nothing(door: Door, lines: Lines):
    host, port = door.service.url.removeprefix("http://").split(":")
    before = await door.world.count("users")
    for _ in range(3 * door.config.database.pool_max):
        body = json.dumps(door.person()).encode()
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(head_of(length=len(body)) + body)
        await writer.drain()
        writer.close()

    expected = before + 3 * door.config.database.pool_max
    await eventually(lambda: door.world.count("users"), lambda number: number == expected, what="all of them")
    assert (await door.register(door.person())).status_code == 201
    assert not [line for line in lines() if line["level"] in {"error", "warning"}]


async def test_what_is_not_http_gets_400_and_the_service_lives(door: Door):
    host, port = door.service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()
    await writer.wait_closed()

    assert (await door.client.get("/live")).status_code == 200


def head_of(*, length: int) -> bytes:
    """The head of a registration, as it goes over the wire."""
    lines = (f"POST {REGISTER} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}", "")
    return "\r\n".join([*lines, ""]).encode()
