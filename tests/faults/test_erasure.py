"""F15: a user is deleted while events wait everywhere; afterwards nothing personal is left, and nothing comes back."""

import asyncio
import json
import re
from typing import Any

import confluent_kafka
import pytest
from faults.report import Figures
from faults.settling import settled
from faults.test_retention import verified
from harness import World, eventually
from msgspec.structs import replace
from wire import native_client

from usercenter.bootstrap import webhooks_of
from usercenter.clock import SystemClock
from usercenter.config.model import Config
from usercenter.events import new_id

SECRETS = ("Adelheid", "15112345678", "von Ungern", "ada@", "Berlin-Test")
"""What is known about this user alone."""
NOBODY = "http://localhost:9/hook"


@pytest.mark.fault("F15")
async def test_a_user_deleted_while_events_wait_everywhere_leaves_nothing_personal_and_nothing_comes_back(
    world: World, figures: Figures
) -> None:
    config = waiting(world.config)
    without_mail = replace(config, mail=replace(config.mail, port=9))
    await subscribed(world, config)
    user = await registered_while_mail_and_receiver_are_down(world, without_mail)
    await changed_while_workers_are_away(world, config, user)
    await deleted_while_the_relay_is_away_too(world, config, user)
    async with world.service(config=without_mail) as (service, _):
        await eventually(service.is_reading, what="the consumers")
        await eventually(
            lambda: world.value("select count(*) from erasures where purged_at is not null"), what="the purge"
        )
    await world.rows("update webhooks set is_enabled = false returning id")
    async with world.service(config=config) as (service, _):
        await eventually(service.is_reading, what="the consumers")
        await eventually(lambda: called_and_confirmed(world), what="the confirmation")
        await settled(world)
        await asyncio.to_thread(late_events, world, user)
        await settled(world)
        report = await verified(world)

    assert report.findings == []
    assert {book.missing for book in report.books} == {0}
    assert [mail.recipients for mail in world.mails()] == [[world.email("ada")]], "the confirmation alone"
    found = await everything(world)
    assert [secret for secret in SECRETS if secret in found] == []
    figures.note("outbox, topic, parked tasks, dead letters and webhook lanes all hold events of the user")


async def registered_while_mail_and_receiver_are_down(world: World, config: Config) -> dict[str, str]:
    """An account with events that are done, tasks that are parked (mail, webhook) and dead letters."""
    async with world.service(config=config) as (service, client):
        await eventually(service.is_reading, what="the consumers")
        body = world.registration("ada", first_name="Adelheid", last_name="von Ungern", phone="+4915112345678")
        answer = (await client.post("/api/v1/users/register", json=body)).json()
        user = {"id": answer["user"]["id"], "token": answer["token"], "password": body["password"]}
        await client.post("/api/v1/users/login", json={"username": "ada", "password": body["password"]})
        await asyncio.to_thread(publish, world, user, b'{"broken": "ada@example.com Adelheid')
        await asyncio.to_thread(publish, world, user, late(user, timestamp="0001-01-01T00:00:00Z"))
        await eventually(
            lambda: world.rows("select handler from tasks where attempts > 0"),
            lambda rows: any("send_mail" in row[0] for row in rows) and any("webhook" in row[0] for row in rows),
            what="parked tasks",
        )
        await eventually(lambda: world.count("dead_letters"), lambda number: number == 2, what="dead letters")
    return user


async def changed_while_workers_are_away(world: World, config: Config, user: dict[str, str]) -> None:
    """Events that wait on Kafka."""
    async with world.service(roles=["api", "relay"], config=config) as (_, client):
        owner = {"Authorization": f"Bearer {user['token']}"}
        answer = await client.patch("/api/v1/users/me", json={"last_name": "Berlin-Test"}, headers=owner)
        assert answer.status_code == 200, answer.text
        await client.post("/api/v1/users/login", json={"username": "ada", "password": "not the right one"})
        await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="an empty outbox")


async def deleted_while_the_relay_is_away_too(world: World, config: Config, user: dict[str, str]) -> None:
    """Events that wait in the outbox, the deletion last."""
    async with world.service(roles=["api"], config=config) as (_, client):
        owner = {"Authorization": f"Bearer {user['token']}"}
        await client.patch("/api/v1/users/me", json={"first_name": "Adelheid II"}, headers=owner)
        answer = await client.request("DELETE", "/api/v1/users/me", json={"password": user["password"]}, headers=owner)
        assert answer.status_code == 204, answer.text
        assert await world.count("outbox") == 2


def waiting(config: Config) -> Config:
    """Whatever fails is tried again for long, not given up."""
    return replace(
        config,
        tasks=replace(config.tasks, lease_seconds=15, first_retry_ms=200, longest_retry_seconds=1, attempts=100),
        webhooks=replace(config.webhooks, allowed_hosts=["localhost"], timeout_seconds=1),
    )


async def subscribed(world: World, config: Config) -> None:
    """A receiver that nobody is."""
    webhooks = webhooks_of(config, database=world.database, clock=SystemClock())
    async with world.database.transaction() as tx:
        await webhooks.create(tx, url=NOBODY, event_types=["*"])
    await webhooks.close()


async def called_and_confirmed(world: World) -> bool:
    """Call parked tasks before their time, as an operator would; whether the deletion is confirmed."""
    await world.rows(
        "update tasks set next_attempt_at = now() where next_attempt_at > now() + interval '1 s' returning 1"
    )
    return bool(await world.value("select count(*) from erasures where confirmed_at is not null"))


def late(user: dict[str, str], **fields: Any) -> bytes:
    """An event of another producer about this user."""
    event = {"id": str(new_id()), "type": "user.logged_in", "source": "another", "timestamp": "2026-01-02T03:04:05Z"}
    own = {"user_id": user["id"], "username": "ada", "email": "ada@example.com", "user_agent": "Adelheid"}
    return json.dumps({**event, **own, **fields}).encode()


def late_events(world: World, user: dict[str, str]) -> None:
    """What other systems still say about somebody who is gone: events, and bytes that are none. Blocks."""
    publish(world, user, late(user))
    publish(world, user, b'{"broken again": "ada@example.com Adelheid')


def publish(world: World, user: dict[str, str], value: bytes) -> None:
    producer = native_client(confluent_kafka.Producer, world.config.kafka)
    producer.produce(world.config.kafka.topics.user_events, value, user["id"])
    assert producer.flush(10) == 0


async def everything(world: World) -> str:
    """All rows of all tables as one text, bytes included."""
    texts = []
    for (table,) in await world.rows("select table_name from information_schema.tables where table_schema = 'public'"):
        texts += [row[0] for row in await world.rows(f"select t::text from {table} t")]  # noqa: S608  # from the catalogue
    text = "\n".join(texts)
    hidden = [bytes.fromhex(each).decode(errors="replace") for each in re.findall(r"\\x((?:[0-9a-f]{2})+)", text)]
    return "\n".join([text, *hidden])
