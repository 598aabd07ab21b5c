"""Groups, purges and resets on a real broker: what is shown is what is there, and nothing moves unless told to."""

import asyncio
from datetime import UTC, datetime, timedelta

import confluent_kafka
import pytest
from confluent_kafka import TopicPartition
from harness import World, eventually
from wire import make_topics, native_client

from usercenter.config.model import Kafka
from usercenter.messaging import consumer_groups, purging, resets, topics
from usercenter.messaging.consumer_groups import GroupMissing
from usercenter.messaging.resets import GroupBusy, Start

BEFORE = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
WRITTEN, READ = 10, 4


@pytest.fixture
async def kafka(world: World) -> Kafka:
    """A topic with ten records in its first partition, of which the group has read four."""
    await make_topics(world)
    await asyncio.to_thread(_write_and_read, world.config.kafka)
    return world.config.kafka


def _write_and_read(kafka: Kafka) -> None:
    producer = native_client(confluent_kafka.Producer, kafka)
    for number in range(WRITTEN):
        moment = BEFORE + timedelta(minutes=number)
        producer.produce(kafka.topics.user_events, b"{}", partition=0, timestamp=int(moment.timestamp() * 1000))
    assert producer.flush(10) == 0
    consumer = native_client(confluent_kafka.Consumer, kafka, **{"group.id": kafka.group_id})
    consumer.commit(offsets=[TopicPartition(kafka.topics.user_events, 0, READ)], asynchronous=False)
    consumer.close()


async def test_a_group_is_described_with_its_lag_and_since_when(kafka: Kafka) -> None:
    assert kafka.group_id in await asyncio.to_thread(consumer_groups.names, kafka)

    group = await asyncio.to_thread(consumer_groups.describe, kafka, kafka.group_id)

    (place,) = group.places
    assert (group.state, group.members, group.lag) == ("empty", [], WRITTEN - READ)
    assert group.committed_at is None, "another client has committed, and left no moment"
    assert (place.topic, place.partition, place.committed) == (kafka.topics.user_events, 0, READ)
    assert (place.earliest, place.next) == (0, WRITTEN)
    assert group.oldest_unread_at == BEFORE + timedelta(minutes=READ)


async def test_a_group_that_does_not_exist_is_missing(kafka: Kafka) -> None:
    with pytest.raises(GroupMissing, match="usercenter groups list"):
        await asyncio.to_thread(consumer_groups.describe, kafka, f"{kafka.group_id}.nobody")


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (Start(kind="earliest"), 0),
        (Start(kind="latest"), WRITTEN),
        (Start(kind="offset", number=7), 7),
        (Start(kind="offset", number=700), WRITTEN),
        (Start(kind="shift", number=-3), 1),
        (Start(kind="shift", number=-30), 0),
        (Start(kind="time", moment=BEFORE + timedelta(minutes=6, seconds=-1)), 6),
        (Start(kind="time", moment=BEFORE + timedelta(days=1)), WRITTEN),
    ],
)
async def test_a_reset_goes_where_it_is_told_and_only_when_it_is_told(
    kafka: Kafka, start: Start, expected: int
) -> None:
    (planned,) = await asyncio.to_thread(resets.plan, kafka, kafka.group_id, start)
    assert (planned.committed, planned.to) == (READ, expected)
    assert await _committed(kafka) == READ

    began = datetime.now(UTC)
    await asyncio.to_thread(resets.move, kafka, kafka.group_id, [planned])

    assert await _committed(kafka) == expected
    group = await asyncio.to_thread(consumer_groups.describe, kafka, kafka.group_id)
    assert (group.committed_at or BEFORE) >= began - timedelta(milliseconds=1)


async def test_a_running_group_is_not_moved(kafka: Kafka) -> None:
    moves = await asyncio.to_thread(resets.plan, kafka, kafka.group_id, Start(kind="earliest"))
    settings = {"group.id": kafka.group_id, "client.id": kafka.client_id, "enable.auto.commit": False}
    member = native_client(confluent_kafka.Consumer, kafka, **settings)
    member.subscribe([kafka.topics.user_events])
    try:
        await eventually(lambda: asyncio.to_thread(_is_in, member), what="a member of the group")
        described = await asyncio.to_thread(consumer_groups.describe, kafka, kafka.group_id)
        assert [each.client_id for each in described.members] == [kafka.client_id]

        with pytest.raises(GroupBusy, match=kafka.client_id):
            await asyncio.to_thread(resets.plan, kafka, kafka.group_id, Start(kind="latest"))
        with pytest.raises(GroupBusy, match="nothing was changed"):
            await asyncio.to_thread(resets.move, kafka, kafka.group_id, moves)
    finally:
        await asyncio.to_thread(member.close)
    assert await _committed(kafka) == READ


async def test_a_purge_says_who_has_not_read_and_deletes_what_was_planned(kafka: Kafka) -> None:
    planned = await asyncio.to_thread(purging.plan, kafka, kafka.topics.user_events)
    assert planned.records == WRITTEN
    assert [(each.group, each.records) for each in planned.unread] == [(kafka.group_id, WRITTEN - READ)]

    await asyncio.to_thread(purging.purge, kafka, planned)

    first = (await asyncio.to_thread(topics.describe, kafka, kafka.topics.user_events)).partitions[0]
    assert (first.earliest_offset, first.next_offset, first.earliest_at) == (WRITTEN, WRITTEN, None)
    assert (await asyncio.to_thread(consumer_groups.describe, kafka, kafka.group_id)).lag == 0


async def test_a_deleted_topic_is_gone(kafka: Kafka) -> None:
    name = kafka.topics.user_analytics
    await asyncio.to_thread(purging.delete_topic, kafka, name)
    await eventually(lambda: asyncio.to_thread(topics.names, kafka), lambda found: name not in found, what="its end")
    with pytest.raises(topics.TopicMissing):
        await asyncio.to_thread(purging.delete_topic, kafka, name)


async def test_a_topic_tells_when_its_records_were_written(kafka: Kafka) -> None:
    first, second, _ = (await asyncio.to_thread(topics.describe, kafka, kafka.topics.user_events)).partitions
    assert (first.earliest_at, first.latest_at) == (BEFORE, BEFORE + timedelta(minutes=WRITTEN - 1))
    assert (second.earliest_at, second.latest_at) == (None, None)


async def _committed(kafka: Kafka) -> int | None:
    group = await asyncio.to_thread(consumer_groups.describe, kafka, kafka.group_id, looks_for_oldest=False)
    return group.places[0].committed


def _is_in(member: confluent_kafka.Consumer) -> bool:
    member.poll(0.1)
    return bool(member.assignment())
