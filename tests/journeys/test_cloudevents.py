"""CloudEvents of other teams on `user.events`, in both modes of the Kafka protocol binding, through a real broker."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import confluent_kafka
from harness import World, eventually
from wire import native_client

DATA: Final = {"username": "ada", "email": "ada@example.com", "ip_address": "203.0.113.7"}
STRUCTURED: Final = "application/cloudevents+json; charset=UTF-8"


class Foreign(NamedTuple):
    """A message as a program with an SDK of its own writes it."""

    value: bytes
    headers: dict[str, str]


def attributes(user_id: UUID, **changes: str | None) -> dict[str, str]:
    """Those of one login at another system's door; None takes one away."""
    whole: dict[str, str | None] = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "type": "user.logged_in",
        "source": "/portal/sessions",
        "time": "2026-11-24T10:30:00Z",
        "subject": str(user_id),
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


def binary(
    user_id: UUID, *, data: bytes | None = None, kind: str = "application/json", **changes: str | None
) -> Foreign:
    """The attributes in headers, the value is the data alone."""
    headers = {f"ce_{name}": value for name, value in attributes(user_id, **changes).items()}
    return Foreign(json.dumps(DATA).encode() if data is None else data, {"content-type": kind, **headers})


def structured(user_id: UUID, *, kind: str | None = STRUCTURED, data: Any = DATA, **changes: str | None) -> Foreign:
    """The whole event in the value."""
    headers = {"content-type": kind} if kind else {}
    return Foreign(json.dumps(attributes(user_id, **changes) | {"data": data}).encode(), headers)


async def publish(world: World, user_id: UUID, messages: Sequence[Foreign]) -> None:
    """All of them with one key, so in one partition and in this order."""
    producer = native_client(confluent_kafka.Producer, world.config.kafka)
    for message in messages:
        producer.produce(
            world.config.kafka.topics.user_events, message.value, str(user_id), headers=dict(message.headers)
        )
    assert await asyncio.to_thread(producer.flush, 20) == 0


async def test_a_login_told_in_either_mode_is_logged_once_however_often_it_comes(world: World) -> None:
    user_id = uuid4()
    twice = [binary(user_id), structured(user_id, id="portal-42")]
    async with world.service(roles=["relay", "worker"]) as (service, _):
        await eventually(service.is_reading, what="the consumers")
        await publish(world, user_id, [*twice, *twice, structured(user_id, kind=None)])
        logins = "select event_id from login_log where user_id = %s order by event_id"
        await eventually(lambda: world.rows(logins, user_id), lambda rows: len(rows) == 3, what="the logins")
        await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="an empty outbox")

    assert await world.count("dead_letters") == 0
    assert len(await world.rows(logins, user_id)) == 3
    assert await world.value("select count(*) from inbox where group_name = %s", world.config.kafka.group_id) == 3
    assert sum(json.loads(each.value or b"{}")["metric"] == "logins" for each in world.messages("user_analytics")) == 3


async def test_what_cannot_be_read_is_a_dead_letter_with_its_reason_and_holds_up_nobody(world: World) -> None:
    user_id = uuid4()
    broken = {
        "data of type 'application/xml' cannot be read": binary(user_id, data=b"<login/>", kind="application/xml"),
        "the CloudEvent lacks time": binary(user_id, time=None),
        "specversion '0.3' cannot be read": structured(user_id, specversion="0.3"),
        "set subject (ce_subject) to the user's id": structured(user_id, subject=None),
        "the content type 'application/cloudevents+avro'": structured(user_id, kind="application/cloudevents+avro"),
        "the data is no JSON object": structured(user_id, data=["ada"]),
        "missing required field `email`": binary(user_id, data=b'{"username": "ada"}'),
    }
    ignored = structured(user_id, type="com.example.badge")
    async with world.service(roles=["relay", "worker"]) as (service, _):
        await eventually(service.is_reading, what="the consumers")
        await publish(world, user_id, [binary(user_id), *broken.values(), ignored, structured(user_id)])
        await eventually(lambda: world.count("login_log"), lambda number: number == 2, what="both good logins")
        letters = await eventually(
            lambda: world.rows("select error, value, headers from dead_letters order by kafka_offset"),
            lambda rows: len(rows) >= len(broken),
            what="the dead letters",
        )
        await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="an empty outbox")

    assert len(letters) == len(broken)
    for (reason, message), (error, value, headers) in zip(broken.items(), letters, strict=True):
        assert reason in error
        assert (bytes(value), headers) == message
    told = world.messages("user_events.dlq")
    assert sorted(each.value or b"" for each in told) == sorted(message.value for message in broken.values())
    assert all(each.headers["error"] and each.headers["original_topic"] for each in told)
