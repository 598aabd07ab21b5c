"""What breaks, and what then happens."""

import asyncio
from typing import Any

import httpx
from harness import World, eventually


async def test_registrations_during_an_outage_of_the_broker_get_their_mail_afterwards_each_once(world: World) -> None:
    kafka = world.parts.kafka
    assert kafka is not None
    async with world.service() as (service, client):
        await eventually(service.is_reading, what="the consumers")
        await kafka.stop()
        try:
            answers = await register(client, world, [f"user{number}" for number in range(50)])
            assert {answer.status_code for answer in answers} == {201}
            assert await world.count("outbox") == 50
            assert world.mails() == []
            health = await eventually(lambda: health_of(client), _is_kafka_away, what="the news of the outage")
            assert health["status"] == "degraded"
            assert "outbox" in health["kafka"]["meanwhile"]
        finally:
            await kafka.start()

        await eventually(world.mails, lambda mails: len(mails) >= 50, what="50 welcome mails")
        await eventually(lambda: world.count("tasks"), lambda number: number == 0, what="the end of the tasks")

    assert len(world.mails()) == 50
    assert len({mail.message_id for mail in world.mails()}) == 50
    assert await world.count("outbox") == 0
    assert await world.count("user_settings") == 50


async def test_mail_that_the_smtp_server_could_not_take_is_sent_when_it_is_back_under_the_same_id(world: World) -> None:
    catcher = world.parts.mail
    assert catcher is not None
    async with world.service() as (service, client):
        await eventually(service.is_reading, what="the consumers")
        await catcher.stop()
        try:
            await register(client, world, ["ada"])
            failed = await eventually(
                lambda: world.rows("select attempts, last_error, event_id from tasks where attempts > 1"),
                what="a second attempt",
            )
        finally:
            await catcher.start()
        mails = await eventually(world.mails, what="the welcome mail")
        await eventually(lambda: world.count("tasks"), lambda number: number == 0, what="the end of the task")

    assert "MailDelayed" in failed[0][1]
    assert [mail.message_id.split("@")[0] for mail in mails] == [f"<{failed[0][2]}"]
    assert await world.count("dead_letters") == 0


async def test_a_service_that_starts_before_its_broker_serves_and_catches_up(world: World) -> None:
    kafka = world.parts.kafka
    assert kafka is not None
    await kafka.stop()
    try:
        async with world.service() as (_, client):
            assert (await register(client, world, ["ada"]))[0].status_code == 201
            assert (await client.get("/ready")).status_code == 200
            await kafka.start()
            await eventually(world.mails, what="the welcome mail")
    finally:
        await kafka.start()


async def register(client: httpx.AsyncClient, world: World, names: list[str]) -> list[httpx.Response]:
    """Register all of them at once."""
    bodies = [world.registration(name) for name in names]
    return await asyncio.gather(*(client.post("/api/v1/users/register", json=body) for body in bodies))


async def health_of(client: httpx.AsyncClient) -> Any:
    """What /health says."""
    return (await client.get("/health")).json()


def _is_kafka_away(health: Any) -> bool:
    return not health["kafka"]["is_reachable"]
