"""The example extension in the running service: an event on the topic, the row it leaves, the call it causes."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import confluent_kafka
import pytest
from acme.profile import UserProfileUpdated
from acme.publish import tell_profile_updated
from harness import World, eventually, execute
from msgspec.structs import replace

from usercenter.bootstrap import Role
from usercenter.config import Config
from usercenter.extension import encode, headers_of, new_id

SQL = Path(__file__).parents[2] / "examples" / "acme" / "profile.sql"

ROLES: Final[tuple[Role, ...]] = ("relay", "worker")


class SearchIndex:
    """What Acme's handler talks to: an HTTP server that answers 503 to the first call and then keeps everything."""

    def __init__(self) -> None:
        self.calls = 0
        self.kept: list[tuple[str, str, dict[str, object]]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.calls += 1
        is_up = self.calls > 1
        if is_up:
            self.kept.append((head[0].split(" ")[1], headers["idempotency-key"], body))
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


def with_acme(world: World) -> Config:
    """The world's configuration, and in it what one line of YAML switches on."""
    return replace(world.config, extensions=["acme.profile"])


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
