"""A message is not taken: what is said, how often, and when it is over. Each cause is real."""

import asyncio
import os
from typing import Any

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from doorway import Lines
from harness import World, eventually
from msgspec.structs import replace
from wire import add_raw, make_topics, posting, raw

from usercenter.config.model import Config, Kafka
from usercenter.messaging import topics

QUICK = {"topic.metadata.propagation.max.ms": "500", "topic.metadata.refresh.interval.ms": "500"}
WAITING = "people are served; events wait in the outbox and are sent in order afterwards"
PAGE = "docs/errors/send-failed.md"


async def test_a_missing_topic_is_named_with_the_command_that_makes_it(world: World, lines: Lines) -> None:
    config = with_kafka(world, replace(world.config.kafka, librdkafka=QUICK))
    topic = config.kafka.topics.user_events
    await make_topics(world)
    async with posting(world, config=config) as post:
        await sent(world)
        await delete_topic(world, topic)
        await add_raw(world, raw("a", b"waits"))
        trouble = await eventually(post.troubles, what="a trouble")
        await eventually(lambda: refused(lines) == [topic], what="a line")

        assert f"sending to {topic}: the broker has no such topic" in trouble[0]
        assert "`usercenter topics create`" in trouble[0]
        assert await world.count("outbox") == 1
        await asyncio.to_thread(topics.create_missing, world.config.kafka)
        (over,) = await recovered(lines)
    assert over["lasted_seconds"] > 0
    assert post.problems() == []


async def test_a_missing_right_is_said_once_with_all_facts_and_once_more_when_it_is_there(
    world: World, guarded: Kafka, rights: Any, lines: Lines
) -> None:
    await make_topics(world)
    rights.grant("topic", "describe", "write")
    async with posting(world, config=with_kafka(world, guarded)) as post:
        await sent(world)
        rights.take("topic", "write")
        await add_raw(world, raw("a", b"waits"))
        await eventually(post.troubles, what="a trouble")
        await eventually(lambda: failures(post) >= 3, what="attempts that fail")

        (said,) = [line for line in lines() if line["event"] == "kafka.delivery_failed"]
        assert said["topic"] == world.config.kafka.topics.user_events
        assert said["error"].startswith("TOPIC_AUTHORIZATION_FAILED")
        assert said["state"] == "the broker does not let this user write"
        assert said["since"]
        assert (said["meanwhile"], said["see"]) == (WAITING, PAGE)
        assert "give the user of `kafka.librdkafka` its rights" in said["next"]
        rights.grant("topic", "write")
        (over,) = await recovered(lines)
        assert over["lasted_seconds"] > 0
        assert post.troubles() == []


async def test_a_message_that_is_too_large_is_a_dead_letter_and_the_line_says_how_to_bring_it_back(
    world: World, lines: Lines
) -> None:
    await make_topics(world)
    await asyncio.to_thread(set_topic, world, "max.message.bytes", "20000")
    async with posting(world) as post:
        await add_raw(world, raw("a", os.urandom(30_000)), raw("a", b"after"))
        await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="an empty outbox")
        assert post.troubles() == []

    (said,) = [line for line in lines() if line["event"] == "kafka.message_unsendable"]
    assert (said["bytes"], said["see"]) == (30_000, PAGE)
    assert "usercenter dead-letters redrive --handler relay" in said["next"]
    assert "kafka.delivery_failed" not in {line["event"] for line in lines()}


async def test_health_tells_it_and_the_service_stays_ready(world: World, guarded: Kafka, rights: Any) -> None:
    await make_topics(world)
    rights.grant("topic", "describe")
    rights.grant("group", "read")
    config = with_kafka(world, guarded)
    async with world.service(roles=["api", "relay"], config=config) as (_, client):
        assert (await client.post("/api/v1/users/register", json=world.registration("ada"))).status_code == 201

        async def troubles() -> Any:
            return (await client.get("/health")).json()["troubles"]

        (told,) = await eventually(troubles, what="a trouble in /health")
        health = (await client.get("/health")).json()
        assert health["status"] == "degraded"
        assert health["kafka"]["is_reachable"]
        assert PAGE in told
        await eventually(lambda: client.get("/ready"), lambda answer: answer.status_code == 200, what="readiness")


def with_kafka(world: World, kafka: Kafka) -> Config:
    return replace(world.config, kafka=kafka)


async def sent(world: World) -> None:
    """One message has arrived."""
    await add_raw(world, raw("a", b"first"))
    await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="an empty outbox")


def refused(lines: Lines) -> list[str]:
    return [line["topic"] for line in lines() if line["event"] == "kafka.delivery_failed"]


async def recovered(lines: Lines) -> list[dict[str, Any]]:
    """The lines that say that it is over."""
    return await eventually(
        lambda: [line for line in lines() if line["event"] == "kafka.delivery_recovered"], what="the end of it"
    )


def failures(post: Any) -> float:
    """How often the broker refused."""
    return sum(
        sample.value
        for family in post._metrics.produce_errors.collect()  # what /metrics would say
        for sample in family.samples
        if sample.name.endswith("_total")
    )


async def delete_topic(world: World, topic: str) -> None:
    """Ask for it, and wait until the broker knows: until then it would still take messages."""
    client = admin(world)  # kept until it is done
    for done in client.delete_topics([topic]).values():
        await asyncio.to_thread(done.result, 10)

    async def is_gone() -> bool:
        return topic not in (await asyncio.to_thread(client.list_topics, timeout=10)).topics

    await eventually(is_gone, what="the end of the topic")


def set_topic(world: World, name: str, value: str) -> None:
    """One setting of user.events."""
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, world.config.kafka.topics.user_events, incremental_configs=[entry])
    client = admin(world)  # kept until it is done
    for done in client.incremental_alter_configs([resource]).values():
        done.result(10)


def admin(world: World) -> AdminClient:
    return AdminClient({"bootstrap.servers": ",".join(world.config.kafka.brokers), "log_level": 0})
