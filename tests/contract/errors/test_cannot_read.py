"""A group cannot read: what is said, how often, and when it is over. Each cause is real."""

import asyncio
from typing import Any

import confluent_kafka
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from doorway import Lines
from harness import World, eventually
from msgspec.structs import replace
from wire import Handler, consuming, make_topics, native_client, with_consumer, write

from usercenter.config.model import Kafka

STAYING = "the other groups go on; the events stay on the topic as long as it keeps them, and in event_log"
PAGE = "docs/errors/cannot-read.md"


async def test_without_a_right_on_the_topic_the_group_says_so_until_it_is_granted(
    world: World, guarded: Kafka, rights: Any, lines: Lines
) -> None:
    await make_topics(world)
    rights.grant("topic", "describe")
    rights.grant("group", "read", "describe")
    handler = Handler()
    async with consuming(guarded, handler) as consumer:
        await write(world.config.kafka, [("a", b"1")])
        problem = await eventually(
            lambda: consumer.problem or "", lambda text: "TOPIC_AUTHORIZATION_FAILED" in text, what="a problem"
        )
        assert f"cannot read {guarded.topics.user_events}: the broker does not let this user read the topic" in problem
        assert PAGE in problem
        rights.grant("topic", "read")
        over = (await eventually(lambda: recovered_from("TOPIC_AUTH", lines), what="the end of it"))[0]
        assert handler.values == [b"1"]
        assert consumer.problem is None

    (said,) = [line for line in told(lines) if line["error"].startswith("TOPIC_AUTHORIZATION_FAILED")]
    assert (said["group"], said["topic"]) == (guarded.group_id, guarded.topics.user_events)
    assert (said["meanwhile"], said["see"]) == (STAYING, PAGE)
    assert over["lasted_seconds"] > 0


async def test_a_group_that_the_user_may_not_join_is_named_and_joined_when_he_may(
    world: World, guarded: Kafka, rights: Any, lines: Lines
) -> None:
    await make_topics(world)
    rights.grant("topic", "describe", "read")
    rights.grant("group", "read")
    handler = Handler()
    async with consuming(guarded, handler) as consumer:
        rights.take("group", "read")
        problem = await eventually(lambda: consumer.problem, what="a problem")
        assert "the broker does not let this user join the group (GROUP_AUTHORIZATION_FAILED" in problem
        rights.grant("group", "read")
        await eventually(lambda: recovered_from("GROUP_AUTH", lines), what="the end of it")
        await write(world.config.kafka, [("a", b"1")])
        await eventually(lambda: handler.values == [b"1"], what="the message")
    assert len(told(lines)) == 1  # though it was tried again and again


async def test_a_member_that_shares_out_partitions_in_another_way_is_told_of(world: World, lines: Lines) -> None:
    await make_topics(world)
    kafka, handler = world.config.kafka, Handler()
    async with consuming(with_consumer(kafka, assignment_strategy="range"), handler):
        other = asyncio.create_task(
            read_until_it_can(with_consumer(kafka, assignment_strategy="roundrobin"), handler, lines)
        )
        said = await eventually(lambda: told(lines), what="a word in the log")
    assert said[0]["error"].startswith("INCONSISTENT_GROUP_PROTOCOL")
    assert "kafka.consumer.assignment_strategy" in said[0]["next"]
    await other  # it joins when the first one has gone


async def test_records_that_are_gone_are_counted_and_the_command_that_brings_them_back_is_named(
    world: World, lines: Lines
) -> None:
    await make_topics(world)
    kafka, handler = world.config.kafka, Handler()
    await write(kafka, [("a", b"1"), ("a", b"2"), ("a", b"3")], partition=0)
    await asyncio.to_thread(commit, kafka, TopicPartition(kafka.topics.user_events, 0, 1))
    await asyncio.to_thread(delete_records, kafka, TopicPartition(kafka.topics.user_events, 0, 2))
    async with consuming(kafka, handler):
        await eventually(lambda: handler.values == [b"3"], what="the oldest record that is left")

    (said,) = [line for line in lines() if line["event"] == "kafka.records_lost"]
    assert (said["partition"], said["first_offset"], said["count"], said["see"]) == (0, 1, 1, PAGE)
    assert "usercenter replay --missing" in said["next"]
    assert "event_log" in said["meanwhile"]


async def test_a_process_that_may_not_open_its_groups_is_not_silent(
    world: World, guarded: Kafka, rights: Any, lines: Lines
) -> None:
    await make_topics(world)
    rights.grant("topic", "describe", "read", "write")
    config = replace(world.config, kafka=guarded)
    async with world.service(roles=["worker"], config=config) as (service, client):
        (trouble,) = await eventually(lambda: troubles(client), what="a trouble")
        assert "opening topics and groups: the broker does not let this user join the group" in trouble
        rights.grant("group", "read")
        await eventually(service.is_reading, what="readers")
        assert await troubles(client) == []
    events = [line["event"] for line in lines() if line["event"] in {"kafka.not_ready", "kafka.ready"}]
    assert events == ["kafka.not_ready", "kafka.ready"]


async def troubles(client: Any) -> Any:
    """What /health says."""
    return (await client.get("/health")).json()["troubles"]


async def read_until_it_can(kafka: Kafka, handler: Handler, lines: Lines) -> None:
    """One more member, until it has said that it can read."""
    async with consuming(kafka, handler):
        await eventually(lambda: recovered_from("INCONSISTENT", lines), what="the end of it")


def told(lines: Lines) -> list[dict[str, Any]]:
    return [line for line in lines() if line["event"] == "kafka.cannot_read"]


def recovered_from(error: str, lines: Lines) -> list[dict[str, Any]]:
    """The lines that say that it is over."""
    return [line for line in lines() if line["event"] == "kafka.reads_again" and line["error"].startswith(error)]


def commit(kafka: Kafka, *offsets: TopicPartition) -> None:
    consumer = native_client(confluent_kafka.Consumer, kafka, **{"group.id": kafka.group_id})
    consumer.commit(offsets=list(offsets), asynchronous=False)
    consumer.close()


def delete_records(kafka: Kafka, *before: TopicPartition) -> None:
    client = native_client(AdminClient, kafka)
    for done in client.delete_records(list(before)).values():
        done.result(10)
