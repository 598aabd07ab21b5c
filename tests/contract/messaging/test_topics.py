"""The topics on the broker: made as the config says, left alone where they exist, described as they are."""

import asyncio
import logging

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic
from harness import World
from msgspec.structs import replace
from wire import make_topics, native_client

from usercenter.config.model import Kafka
from usercenter.messaging import topics
from usercenter.messaging.client import topics_by_stream


async def test_missing_topics_are_made_as_the_config_says_dead_letter_topics_included(world: World) -> None:
    kafka = replace(world.config.kafka, new_topics=replace(world.config.kafka.new_topics, partitions=5))

    made = await asyncio.to_thread(topics.create_missing, kafka)

    events = kafka.topics.user_events
    names = await asyncio.to_thread(topics.names, kafka)
    assert set(made) == set(topics_by_stream(kafka).values())
    assert {events, f"{events}.dlq"} < set(made)
    assert {names[name] for name in made} == {5}
    assert await setting_of(kafka, events, "min.insync.replicas") == "1"


async def test_what_a_topic_needs_for_an_acknowledgement_is_taken_from_the_config(world: World) -> None:
    kafka = replace(world.config.kafka, new_topics=replace(world.config.kafka.new_topics, min_insync_replicas=2))
    await asyncio.to_thread(topics.create_missing, kafka)
    assert await setting_of(kafka, kafka.topics.user_events, "min.insync.replicas") == "2"


async def test_existing_topics_are_left_as_they_are(world: World) -> None:
    kafka = world.config.kafka
    admin = native_client(AdminClient, kafka)
    name = kafka.topics.user_events
    await asyncio.to_thread(admin.create_topics([NewTopic(name, 1, 1)])[name].result, 10)

    made = await asyncio.to_thread(topics.create_missing, kafka)

    assert name not in made
    assert (await asyncio.to_thread(topics.names, kafka))[name] == 1
    assert await asyncio.to_thread(topics.create_missing, kafka) == []


async def test_an_existing_topic_with_too_few_replicas_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await make_topics(world)
    kafka = replace(world.config.kafka, new_topics=replace(world.config.kafka.new_topics, replication_factor=3))
    with caplog.at_level(logging.WARNING):
        await asyncio.to_thread(topics.create_missing, kafka)
    told = [record.msg for record in caplog.records if "kafka.topic_differs" in str(record.msg)]
    assert len(told) == 6


async def test_several_processes_may_make_the_topics_at_once(world: World) -> None:
    kafka = world.config.kafka
    await asyncio.gather(*(asyncio.to_thread(topics.create_missing, kafka) for _ in range(4)))
    assert set(topics_by_stream(kafka).values()) <= set(await asyncio.to_thread(topics.names, kafka))


async def test_more_replicas_than_brokers_are_refused_with_the_brokers_reason(world: World) -> None:
    kafka = replace(world.config.kafka, new_topics=replace(world.config.kafka.new_topics, replication_factor=3))
    with pytest.raises(confluent_kafka.KafkaException, match="eplication factor"):
        await asyncio.to_thread(topics.create_missing, kafka)


async def test_a_topic_is_described_with_its_partitions_and_offsets(world: World) -> None:
    await make_topics(world)
    kafka = world.config.kafka
    producer = native_client(confluent_kafka.Producer, kafka)
    producer.produce(kafka.topics.user_events, b"one", partition=1)
    await asyncio.to_thread(producer.flush, 10)

    topic = await asyncio.to_thread(topics.describe, kafka, kafka.topics.user_events)

    found = [(each.partition, each.earliest_offset, each.next_offset, each.in_sync) for each in topic.partitions]
    assert found == [(0, 0, 0, [1]), (1, 0, 1, [1]), (2, 0, 0, [1])]


async def test_a_topic_that_is_not_there_is_said_so(world: World) -> None:
    with pytest.raises(topics.TopicMissing, match="usercenter topics list"):
        await asyncio.to_thread(topics.describe, world.config.kafka, "never.made")


async def setting_of(kafka: Kafka, topic: str, name: str) -> str | None:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = native_client(AdminClient, kafka)
    value = (await asyncio.to_thread(admin.describe_configs([resource])[resource].result, 10))[name].value
    return None if value is None else str(value)
