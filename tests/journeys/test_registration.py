"""From the request to every effect: public API, real Kafka, real PostgreSQL, a real SMTP conversation."""

import asyncio
import json
from uuid import uuid4

import confluent_kafka
from harness import World, eventually


async def test_a_registration_over_http_ends_with_a_welcome_mail_at_the_smtp_server(world: World) -> None:
    async with world.service() as (_, client):
        answer = await client.post("/api/v1/users/register", json=world.registration("ada", locale="zh-CN"))
        assert answer.status_code == 201

        mail = (await eventually(world.mails, what="the welcome mail"))[0]

    assert mail.recipients == [world.email("ada")]
    assert mail.message["Content-Language"] == "zh-CN"
    assert "ada" in mail.text()
    assert "ada" in mail.text("html")
    assert await world.count("tasks") == 0
    assert await world.rows("select locale, time_zone from user_settings") == [("zh-CN", "UTC")]


async def test_a_login_is_logged_and_remembered(world: World) -> None:
    async with world.service() as (_, client):
        user = (await client.post("/api/v1/users/register", json=world.registration("ada"))).json()["user"]
        login = {"username": "ADA", "password": "password123"}
        answer = await client.post("/api/v1/users/login", json=login, headers={"User-Agent": "a browser"})
        assert answer.status_code == 200

        async def last_logins() -> list[tuple[object, ...]]:
            return await world.rows("select user_id::text, ip_address from last_logins")

        assert await eventually(last_logins, what="the last login") == [(user["id"], "127.0.0.1")]

    assert await world.rows("select user_agent, ip_address from login_log") == [("a browser", "127.0.0.1")]
    assert await world.rows("select type, sequence from event_log order by sequence") == [
        ("user.registered", 1),
        ("user.logged_in", 2),
    ]


async def test_the_request_id_goes_from_the_request_through_the_event_to_the_notification(world: World) -> None:
    async with world.service() as (_, client):
        await client.post(
            "/api/v1/users/register", json=world.registration("ada"), headers={"X-Request-Id": "request-7"}
        )
        await eventually(world.mails, what="the welcome mail")

    messages = world.messages("user_events") + world.messages("user_notifications")
    assert [json.loads(message.value)["request_id"] for message in messages] == ["request-7", "request-7"]
    assert [message.headers["request_id"] for message in messages] == ["request-7", "request-7"]


async def test_an_event_of_another_program_in_the_flat_format_is_handled_once(world: World) -> None:
    user_id, event_id = str(uuid4()), str(uuid4())
    event = {
        "id": event_id,
        "type": "user.registered",
        "source": "legacy-user-service",
        "timestamp": "2026-01-02T03:04:05Z",
        "version": "1.0",
        "request_id": "",
        "user_id": user_id,
        "data": {},
        "username": "grace",
        "email": world.email("grace"),
    }
    async with world.service() as (service, _):
        await eventually(service.is_reading, what="the consumers")
        producer = confluent_kafka.Producer({"bootstrap.servers": ",".join(world.config.kafka.brokers)})
        for _ in range(3):
            producer.produce(world.config.kafka.topics.user_events, json.dumps(event), key=user_id)
        producer.flush(10)

        await eventually(world.mails, what="the welcome mail")

        async def repeated() -> float:
            value = service.metrics.registry.get_sample_value(
                "usercenter_repeated_messages_total", {"group": world.config.kafka.group_id}
            )
            return value or 0.0

        await eventually(repeated, lambda number: number == 2, what="the two repetitions")

    assert len(world.mails()) == 1
    assert await world.rows("select user_id::text from user_settings") == [(user_id,)]


async def test_a_broken_message_is_a_dead_letter_with_its_bytes_and_reason_and_the_partition_goes_on(
    world: World,
) -> None:
    async with world.service() as (service, client):
        await eventually(service.is_reading, what="the consumers")
        producer = confluent_kafka.Producer({"bootstrap.servers": ",".join(world.config.kafka.brokers)})
        for partition in range(3):
            producer.produce(world.config.kafka.topics.user_events, b"\xff{broken", key=b"k", partition=partition)
        producer.flush(10)
        await client.post("/api/v1/users/register", json=world.registration("ada"))

        await eventually(world.mails, what="the welcome mail behind the broken message")
        letters = await eventually(
            lambda: world.rows(
                "select value, handler, error from dead_letters where group_name = %s", world.config.kafka.group_id
            ),
            lambda rows: len(rows) == 3,
            what="the dead letters",
        )
        await eventually(
            lambda: asyncio.to_thread(world.messages, "user_events.dlq"),
            lambda found: len(found) == 3,
            what="the .dlq",
        )

    assert {(bytes(value), handler) for value, handler, _ in letters} == {(b"\xff{broken", "decode")}
    dead = world.messages("user_events.dlq")
    assert {message.value for message in dead} == {b"\xff{broken"}
    assert {message.headers["original_topic"] for message in dead} == {world.config.kafka.topics.user_events}
    assert {message.headers["original_partition"] for message in dead} == {"0", "1", "2"}
    assert all("not a JSON object" in message.headers["error"] for message in dead)
