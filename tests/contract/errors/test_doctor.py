"""The doctor at a broker that asks who is there: each right that is missing, by name."""

import asyncio
import json
from typing import Any

import confluent_kafka
from command import command
from harness import World, eventually
from msgspec.structs import replace
from wire import make_topics, native_client

from usercenter.config.model import Kafka
from usercenter.embedded import kafka_tools


async def checks(world: World, kafka: Kafka) -> dict[str, dict[str, Any]]:
    said = await command(replace(world.config, kafka=kafka), "doctor", "--json")
    return {each["name"]: each for each in json.loads(said.data)["checks"]}


def _write_one(kafka: Kafka) -> None:
    producer = native_client(confluent_kafka.Producer, kafka)
    producer.produce(kafka.topics.user_events, b"{}", partition=0)
    assert producer.flush(10) == 0


async def test_each_right_that_is_missing_is_named_with_the_command_that_grants_it(
    world: World, guarded: Kafka, rights: Any
) -> None:
    await make_topics(world)
    await asyncio.to_thread(_write_one, world.config.kafka)
    topic, group = guarded.topics.user_events, guarded.group_id

    def says_that_neither_is_allowed(found: dict[str, dict[str, Any]]) -> bool:
        names = (f"topic {topic}", f"group {group}")
        return all(name in found and "not allowed" in found[name]["says"] for name in names)

    nothing = await eventually(
        lambda: checks(world, guarded), says_that_neither_is_allowed, what="the refusals, once the broker is ready"
    )
    assert nothing[f"topic {topic}"]["state"] == "wrong"
    assert "kafka-acls --add" in nothing[f"topic {topic}"]["next_step"]
    assert nothing[f"group {group}"]["state"] == "wrong"

    rights.grant("topic", "describe")
    found = await eventually(
        lambda: checks(world, guarded), lambda found: f"rights on topic {topic}" in found, what="the right to describe"
    )
    missing = found[f"rights on topic {topic}"]
    assert (missing["state"], missing["says"]) == ("wrong", "not allowed: READ, WRITE")
    assert "--operation Read" in missing["next_step"]

    rights.grant("topic", "read", "write")
    rights.grant("group", "read", "describe")
    await eventually(
        lambda: checks(world, guarded),
        lambda found: not any("not allowed" in each["says"] for each in found.values()),
        what="the end of what is missing",
    )


async def test_a_wrong_password_is_named_and_not_taken_for_a_broker_that_is_away(world: World, guarded: Kafka) -> None:
    mistyped = replace(guarded, librdkafka=guarded.librdkafka | {"sasl.password": "mistyped"})

    found = await eventually(
        lambda: checks(world, mistyped), lambda found: "Authentication" in found["kafka"]["says"], what="the refusal"
    )
    kafka = found["kafka"]
    said = await command(replace(world.config, kafka=mistyped), "brokers", "--live")

    assert kafka["state"] == "unreachable"
    assert "Authentication failed" in kafka["says"]
    assert "the password" in kafka["next_step"]
    assert said.status == 3
    assert "Authentication failed" in said.rest
    assert "mistyped" not in said.rest + json.dumps(kafka)


async def test_kafkas_own_tools_log_in_as_our_clients_do(world: World, guarded: Kafka, rights: Any) -> None:
    await make_topics(world)
    await asyncio.to_thread(_write_one, world.config.kafka)
    topic = guarded.topics.user_events
    rights.grant("topic", "read", "describe")
    login = {"brokers": guarded.brokers, "librdkafka": guarded.librdkafka}
    await eventually(
        lambda: asyncio.to_thread(kafka_tools.output, "topics", ["--list"], **login),
        lambda said: topic in said.splitlines(),
        what="the topic that this user may see now",
    )


async def test_a_topic_is_described_with_its_bytes_on_request(world: World) -> None:
    await make_topics(world)
    await asyncio.to_thread(_write_one, world.config.kafka)
    topic = world.config.kafka.topics.user_events

    said = await eventually(
        lambda: command(world.config, "topics", "describe", topic, "--sizes", "--json"),
        lambda said: said.status == 0,
        what="a topic whose partitions are all there",
    )
    shown = await command(world.config, "topics", "describe", topic, "--sizes")

    sizes = json.loads(said.data)["bytes"]
    assert sorted(sizes) == ["0", "1", "2"]
    ((_, size),) = sizes["0"].items()
    assert 50 < size < 500, "one small record"
    assert shown.data.splitlines()[0].endswith("bytes")
    assert shown.data.splitlines()[1].endswith(f" {size}")
