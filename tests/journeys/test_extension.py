"""The example extension in the running service: an event on the topic, the row it leaves, the call it causes."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import confluent_kafka
import httpx
import pytest
from acme.profile import UserProfileUpdated
from acme.publish import tell_profile_updated
from harness import World, eventually, execute
from msgspec.structs import replace
from standardwebhooks import Webhook as Verifier

from usercenter.bootstrap import Role
from usercenter.config import Config
from usercenter.extension import encode, headers_of, new_id

SQL = Path(__file__).parents[2] / "examples" / "acme" / "profile.sql"

ROLES: Final[tuple[Role, ...]] = ("relay", "worker")


class Subscriber:
    """Another system with a webhook: takes every call."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[tuple[dict[str, str], bytes]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, headers, body = await read_request(reader)
        self.calls.append((headers, body))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


async def read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """Path, headers and body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
    return head[0].split(" ")[1], headers, await reader.readexactly(int(headers["content-length"]))


class SearchIndex:
    """What Acme's handler talks to: an HTTP server that answers 503 to the first call and then keeps everything."""

    def __init__(self) -> None:
        self.calls = 0
        self.kept: list[tuple[str, str, dict[str, object]]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path, headers, body = await read_request(reader)
        self.calls += 1
        is_up = self.calls > 1
        if is_up:
            self.kept.append((path, headers["idempotency-key"], json.loads(body)))
        status = "204 No Content" if is_up else "503 Service Unavailable"
        writer.write(f"HTTP/1.1 {status}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def index(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SearchIndex]:
    """Acme's search index, where the handler looks for it."""
    found = SearchIndex()
    server = await asyncio.start_server(found.answer, "127.0.0.1", 0)
    monkeypatch.setenv("ACME_SEARCH_URL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        yield found


@pytest.fixture
async def subscriber() -> AsyncIterator[Subscriber]:
    """A receiver of webhooks on this machine."""
    found = Subscriber()
    server = await asyncio.start_server(found.answer, "127.0.0.1", 0)
    found.url = f"http://localhost:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield found


def with_acme(world: World) -> Config:
    """The world's configuration, and in it what one line of YAML switches on."""
    return replace(
        world.config,
        extensions=["acme.profile"],
        webhooks=replace(world.config.webhooks, allowed_hosts=["localhost"]),
    )


def an_event(user_id: UUID, city: str) -> UserProfileUpdated:
    return UserProfileUpdated(
        id=new_id(), timestamp=datetime.now(UTC), user_id=user_id, username="ada", changes={"city": city}
    )


async def test_a_custom_event_on_the_topic_has_its_effects_in_the_database_and_outside(
    world: World, index: SearchIndex
) -> None:
    execute(world.config.database.url, SQL.read_text())
    user_id = new_id()
    first, second = an_event(user_id, "London"), an_event(user_id, "Turin")
    async with world.service(roles=ROLES, config=with_acme(world)) as (service, _):
        await eventually(service.is_reading, what="the consumers")
        producer = confluent_kafka.Producer({"bootstrap.servers": ",".join(world.config.kafka.brokers)})
        for event in (first, first, second):  # once more than it happened
            producer.produce(
                world.config.kafka.topics.user_events, encode(event), key=str(user_id), headers=headers_of(event)
            )
        producer.flush(10)

        await eventually(lambda: index.kept, lambda kept: len(kept) == 2, what="the calls of the search index")
        await eventually(lambda: world.count("tasks"), lambda number: number == 0, what="the end of the tasks")

    assert [(path, key, body["city"]) for path, key, body in index.kept] == [
        (f"/users/{user_id}", str(first.id), "London"),
        (f"/users/{user_id}", str(second.id), "Turin"),
    ]
    assert await world.rows("select event_id, fields from acme_profile_changes order by changed_at") == [
        (first.id, ["city"]),
        (second.id, ["city"]),
    ]


async def test_a_custom_event_is_published_with_the_change_that_it_tells_of(world: World, index: SearchIndex) -> None:
    execute(world.config.database.url, SQL.read_text())
    user_id = new_id()
    async with world.service(roles=ROLES, config=with_acme(world)) as (service, _):
        await eventually(service.is_reading, what="the consumers")
        async with world.database.transaction() as tx:
            await tell_profile_updated(tx, user_id, username="ada", changes={"city": "London"})

        await eventually(lambda: index.kept, what="the call of the search index")

    (message,) = world.messages("user_events")
    assert message.key == str(user_id).encode()
    assert message.headers["ce_type"] == "user.profile_updated"
    assert json.loads(message.value or b"")["source"] == "acme.profile"


async def test_a_custom_event_reaches_the_webhook_that_asked_for_it_signed_and_once(
    world: World, index: SearchIndex, subscriber: Subscriber
) -> None:
    execute(world.config.database.url, SQL.read_text())
    async with world.service(config=with_acme(world)) as (service, client):
        await eventually(service.is_reading, what="the consumers")
        admin = await an_admin(world, client)
        hook = {"url": subscriber.url, "event_types": ["user.profile_updated"]}
        created = await client.post("/api/v1/admin/webhooks", json=hook, headers=admin)
        assert created.status_code == 201, created.text

        async with world.database.transaction() as tx:
            await tell_profile_updated(tx, new_id(), username="bob", changes={"city": "London"})
        await eventually(lambda: subscriber.calls, what="the webhook's call")
        await eventually(lambda: world.count("tasks"), lambda number: number == 0, what="the end of the tasks")

    ((headers, body),) = subscriber.calls
    event = Verifier(created.json()["secret"]).verify(body, headers)
    assert (event["type"], event["username"], event["changes"]) == ("user.profile_updated", "bob", {"city": "London"})
    assert headers["webhook-id"] == event["id"]


async def test_a_type_that_nobody_declares_is_refused_with_those_that_there_are(world: World) -> None:
    async with world.service(roles=["api"], config=with_acme(world)) as (_, client):
        hook = {"url": "https://crm.example.com/hooks", "event_types": ["user.profile_update"]}
        refused = await client.post("/api/v1/admin/webhooks", json=hook, headers=await an_admin(world, client))

    assert refused.status_code == 400
    (problem,) = refused.json()["errors"]
    assert problem["message"].startswith("'user.profile_update' is not known here; must be some of user.deleted, ")
    assert "user.profile_updated" in problem["message"]


async def an_admin(world: World, client: httpx.AsyncClient) -> dict[str, str]:
    """The header of somebody who may subscribe receivers."""
    answer = await client.post("/api/v1/users/register", json=world.registration("ada"))
    await world.rows("update users set role = 'admin' where username = 'ada' returning id")
    return {"Authorization": f"Bearer {answer.json()['token']}"}
