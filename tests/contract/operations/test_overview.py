"""What the commands say of Kafka is what a worker saw a moment ago: no broker is asked, and the age is said."""

import asyncio
import json
from typing import Any

import confluent_kafka
import pytest
from command import command
from confluent_kafka import TopicPartition
from harness import World
from msgspec.structs import replace
from wire import make_topics, native_client

from usercenter.clock import SystemClock
from usercenter.config.model import Config, Kafka
from usercenter.messaging import overviews
from usercenter.messaging.brokers import BrokerWatch
from usercenter.messaging.overviews import Overviews

WRITTEN, READ = 5, 2


def poller(world: World) -> Overviews:
    watch = BrokerWatch(world.config.kafka, clock=SystemClock())
    watch.look_once()
    groups = [world.config.kafka.group_id]
    return Overviews(world.config, database=world.database, groups=groups, state=lambda: watch.state)


def without_brokers(config: Config) -> Config:
    """Nobody answers there: whoever asks a broker fails."""
    return replace(config, kafka=replace(config.kafka, brokers=["127.0.0.1:1"]))


def _write_and_read(kafka: Kafka) -> None:
    producer = native_client(confluent_kafka.Producer, kafka)
    for _ in range(WRITTEN):
        producer.produce(kafka.topics.user_events, b"{}", partition=0)
    assert producer.flush(10) == 0
    consumer = native_client(confluent_kafka.Consumer, kafka, **{"group.id": kafka.group_id})
    consumer.commit(offsets=[TopicPartition(kafka.topics.user_events, 0, READ)], asynchronous=False)
    consumer.close()


@pytest.fixture
async def seen(world: World) -> World:
    """A group that has read two of five records, and a worker that has looked at it."""
    await make_topics(world)
    await asyncio.to_thread(_write_and_read, world.config.kafka)
    poll = poller(world)
    assert await poll.turn()
    assert not await poll.turn(), "one look is enough for now"
    return world


async def read(world: World, *arguments: str) -> dict[str, Any]:
    """What the command says to a program, with no broker there."""
    said = await command(without_brokers(world.config), *arguments, "--json")
    assert said.status == 0, said
    assert "as the service saw it" in said.rest
    found = json.loads(said.data)
    assert found["is_live"] is False
    assert 0 <= found["age_seconds"] < 60
    return dict(found)


async def make_older(world: World, seconds: int) -> None:
    async with world.database.transaction() as tx:
        await tx.execute("update snapshots set taken_at = taken_at - make_interval(secs => %s)", (seconds,))


async def test_with_a_fresh_look_no_command_asks_a_broker(seen: World) -> None:
    kafka = seen.config.kafka

    group = (await read(seen, "groups", "describe", kafka.group_id))["group"]
    listed = {each["group"]: each for each in (await read(seen, "groups", "list"))["groups"]}
    topic = (await read(seen, "topics", "describe", kafka.topics.user_events))["topic"]
    topics = (await read(seen, "topics", "list"))["topics"]
    brokers = (await read(seen, "brokers"))["kafka"]

    (place,) = group["places"]
    assert (group["state"], place["committed"], place["lag"]) == ("empty", READ, WRITTEN - READ)
    assert place["oldest_unread_at"] is not None
    assert listed[kafka.group_id]["lag"] == WRITTEN - READ
    assert listed[kafka.group_id]["seconds_behind"] >= 0
    first = topic["partitions"][0]
    assert (first["earliest_offset"], first["next_offset"], first["in_sync"]) == (0, WRITTEN, [1])
    assert first["earliest_at"] <= first["latest_at"]
    assert topics[kafka.topics.user_events] == 3
    assert [each["id"] for each in brokers["brokers"]] == [1]


async def test_live_asks_the_brokers(seen: World) -> None:
    said = await command(without_brokers(seen.config), "brokers", "--live")
    there = await command(seen.config, "groups", "describe", seen.config.kafka.group_id, "--live", "--json")

    assert (said.status, said.data) == (3, "")
    assert "no broker of 127.0.0.1:1" in said.rest
    found = json.loads(there.data)
    assert (found["is_live"], found["age_seconds"], found["group"]["places"][0]["lag"]) == (True, 0.0, WRITTEN - READ)


async def test_what_a_fresh_look_does_not_tell_is_asked_of_the_brokers_and_that_is_said(seen: World) -> None:
    unknown = await command(seen.config, "groups", "describe", "nobody.reads.so")
    await make_older(seen, 20)
    await look_in_vain(seen)
    after_failure = await command(seen.config, "brokers")
    await make_older(seen, int(overviews.fresh_seconds(seen.config)))
    old = await command(seen.config, "topics", "list", "--json")

    assert unknown.status == 1
    assert "this is not in the last look" in unknown.rest
    assert "there is no group" in unknown.rest
    assert after_failure.status == 0
    assert "the last look reached none of them" in after_failure.rest
    assert json.loads(old.data)["is_live"] is True
    assert "no worker has looked lately" in old.rest


async def look_in_vain(world: World) -> None:
    config = without_brokers(world.config)
    watch = BrokerWatch(config.kafka, clock=SystemClock())
    away = Overviews(config, database=world.database, groups=[], state=lambda: watch.state)
    assert await away.turn()


async def test_without_a_service_that_ever_ran_the_brokers_are_asked(world: World) -> None:
    nowhere = replace(world.config, database=replace(world.config.database, url="postgresql://u@127.0.0.1:1/none"))
    for config in (world.config, nowhere):
        said = await command(config, "brokers", "--json")
        assert said.status == 0, said
        assert json.loads(said.data)["is_live"] is True
