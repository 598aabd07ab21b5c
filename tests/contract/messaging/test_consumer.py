"""A member of a consumer group: nothing is committed before it is handled, nothing is skipped, each key in order."""

import asyncio
import ctypes
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import confluent_kafka
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from harness import World, eventually
from msgspec.structs import replace
from wire import Handler, consuming, librdkafka, make_topics, native_client, with_consumer, write

from usercenter.config.model import Kafka
from usercenter.messaging import consumer_groups, offsets

PROTOCOLS = {
    "eager": {"assignment_strategy": "roundrobin"},
    "cooperative": {"assignment_strategy": "cooperative-sticky"},
    "by the broker": {"group_protocol": "consumer"},
}


@pytest.fixture
async def kafka(world: World) -> Kafka:
    """The settings of the test's world, with its topics made and quick commits."""
    await make_topics(world)
    return with_consumer(world.config.kafka, auto_commit_interval_ms=100, session_timeout_ms=6_000)


@pytest.fixture(params=PROTOCOLS.values(), ids=PROTOCOLS)
def each_kafka(kafka: Kafka, request: pytest.FixtureRequest) -> Kafka:
    """The same with each way to share out partitions: all at once, some at a time, or as the broker says."""
    return with_consumer(kafka, **request.param)


async def test_offsets_are_committed_only_after_the_batch_was_handled(kafka: Kafka) -> None:
    handler = Handler()
    handler.may_end.clear()
    async with consuming(kafka, handler):
        await write(kafka, [("a", b"1"), ("a", b"2")])
        await eventually(lambda: handler.begun, what="the batch")
        assert await committed(kafka) == 0
        handler.may_end.set()
        await eventually(lambda: committed(kafka), lambda offset: offset == 2, what="the commit")
    assert handler.values == [b"1", b"2"]


async def test_whoever_describes_the_group_is_told_when_it_committed(kafka: Kafka) -> None:
    began = datetime.now(UTC)
    async with consuming(kafka, Handler()):
        await write(kafka, [("a", b"1")])
        await eventually(lambda: committed(kafka), lambda offset: offset == 1, what="the commit")
        group = await asyncio.to_thread(consumer_groups.describe, kafka, kafka.group_id)
    at = group.committed_at
    assert at is not None
    assert began - timedelta(milliseconds=1) <= at <= datetime.now(UTC)


async def test_a_batch_that_fails_is_handled_again_before_anything_that_came_later(kafka: Kafka) -> None:
    handler = Handler()
    handler.failures = [RuntimeError("once"), ValueError("twice")]
    async with consuming(kafka, handler) as consumer:
        await write(kafka, [("a", b"1"), ("a", b"2")])
        await eventually(lambda: len(handler.begun) == 3, what="the third attempt")
        await write(kafka, [("a", b"3")])
        await eventually(lambda: len(handler.done) == 3, what="all messages")
        assert consumer.problem is None
    assert handler.begun == [[b"1", b"2"], [b"1", b"2"], [b"1", b"2"], [b"3"]]


async def test_while_a_batch_fails_the_reason_is_told_without_its_data(kafka: Kafka) -> None:
    handler = Handler()
    handler.failures = [RuntimeError("ada@example.com")] * 50
    async with consuming(kafka, handler) as consumer:
        await write(kafka, [("a", b"1")])
        problem = await eventually(lambda: consumer.problem, what="the problem")
    assert problem == "a batch waits: RuntimeError"


async def test_a_stop_waits_for_the_batch_in_hand_and_commits_it(each_kafka: Kafka) -> None:
    handler = Handler()
    handler.may_end.clear()
    async with consuming(each_kafka, handler) as consumer:
        await write(each_kafka, [("a", b"1")])
        await eventually(lambda: handler.begun, what="the batch")
        stopping = asyncio.create_task(consumer.stop(timeout_seconds=20))
        await asyncio.wait([stopping], timeout=0.3)
        assert not stopping.done()
        handler.may_end.set()
        await stopping
    assert handler.values == [b"1"]
    assert await committed(each_kafka) == 1


@pytest.mark.alone
async def test_a_stop_gives_up_a_batch_that_does_not_end_and_the_next_consumer_handles_it(each_kafka: Kafka) -> None:
    stuck, next_one = Handler(), Handler()
    stuck.may_end.clear()
    async with consuming(each_kafka, stuck) as consumer:
        await write(each_kafka, [("a", b"1")])
        await eventually(lambda: stuck.begun, what="the batch")
        started = time.monotonic()
        await consumer.stop(timeout_seconds=1)
        assert time.monotonic() - started < 2
    async with consuming(each_kafka, next_one):
        await eventually(lambda: next_one.done, what="the batch again")
    assert (stuck.values, next_one.values) == ([], [b"1"])


@pytest.mark.alone
async def test_a_stop_does_not_wait_for_a_broker_that_does_not_answer(kafka: Kafka, world: World) -> None:
    broker = world.parts.kafka
    assert broker is not None
    handler = Handler()
    kafka = with_consumer(kafka, auto_commit_interval_ms=60_000)
    async with AsyncExitStack() as stack:
        consumer = await stack.enter_async_context(consuming(kafka, handler))
        await write(kafka, [("a", b"1")])
        await eventually(lambda: handler.done, what="the batch")
        broker.freeze()
        stack.callback(broker.thaw)
        started = time.monotonic()
        await consumer.stop(timeout_seconds=1)
        assert time.monotonic() - started < 2
    await eventually(lambda: not consumer.is_alive, what="the end of the thread")


async def test_members_that_come_and_go_lose_nothing_and_keep_the_order_of_each_key(each_kafka: Kafka) -> None:
    kafka = with_consumer(each_kafka, batch_messages=20)
    handler = Handler()
    keys = [f"key {number}" for number in range(20)]
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(consuming(kafka, handler))
        await write(kafka, numbered(keys, range(10)))
        await eventually(lambda: len(handler.done) >= 100, what="the first messages")
        second = await stack.enter_async_context(consuming(kafka, handler))
        await write(kafka, numbered(keys, range(10, 20)))
        await eventually(lambda: second.is_assigned, what="the second member")
        await write(kafka, numbered(keys, range(20, 30)))
        await first.stop(timeout_seconds=20)
        await write(kafka, numbered(keys, range(30, 40)))
        await eventually(lambda: len(set(handler.values)) == 800, what="all messages")

    by_key: dict[bytes | None, list[int]] = defaultdict(list)
    for message in handler.done:
        by_key[message.key].append(int((message.value or b"").split(b"/")[1]))
    assert {key: list(dict.fromkeys(numbers)) for key, numbers in by_key.items()} == {
        key.encode(): list(range(40)) for key in keys
    }


async def test_a_batch_that_a_rebalance_cuts_short_is_read_again(each_kafka: Kafka) -> None:
    kafka = each_kafka
    slow, quick = Handler(), Handler()
    slow.may_end.clear()
    slow.waits_for_partitions = 3
    keys = [f"key {number}" for number in range(50)]
    rounds = 0
    async with consuming(kafka, slow, patience_seconds=0.1, revoke_seconds=0.2):
        while not slow.begun:
            await write(kafka, numbered(keys, [rounds]))
            rounds += 1
        async with consuming(kafka, quick):
            await eventually(lambda: slow.cut_short, what="the rebalance")
            slow.may_end.set()
            await write(kafka, numbered(keys, [rounds]))
            rounds += 1
            await eventually(
                lambda: len({*slow.values, *quick.values}), lambda number: number == 50 * rounds, what="all messages"
            )
            await eventually(lambda: committed(kafka), lambda offset: offset == 50 * rounds, what="the commit of all")


async def test_a_batch_that_takes_longer_than_the_group_allows_between_two_polls_costs_no_membership(
    each_kafka: Kafka,
) -> None:
    kafka = with_consumer(each_kafka, session_timeout_ms=1_000, heartbeat_interval_ms=300)
    kafka = replace(kafka, librdkafka={"max.poll.interval.ms": "1000"})
    handler = Handler()
    handler.may_end.clear()
    async with consuming(kafka, handler, patience_seconds=0.2):
        await write(kafka, [("a", b"1")])
        await eventually(lambda: handler.begun, what="the batch")
        await write(kafka, [("a", b"2"), ("b", b"3")])
        began = time.monotonic()
        await eventually(lambda: time.monotonic() - began > 2, what="the end of the interval")
        handler.may_end.set()
        await eventually(lambda: len(handler.done) >= 3, what="what came meanwhile")
        await eventually(lambda: committed(kafka), lambda offset: offset == 3, what="the commit")
    assert sorted(handler.values) == [b"1", b"2", b"3"]
    assert handler.begun[0] == [b"1"]


async def test_a_group_pinned_at_its_first_start_reads_what_was_published_before_its_second(
    kafka: Kafka, world: World
) -> None:
    handler = Handler()
    await write(kafka, [("a", b"before the first start")])
    await pin(world, kafka)
    await write(kafka, [("a", b"between")])
    await pin(world, kafka)
    async with consuming(kafka, handler):
        await eventually(lambda: handler.done, what="the message between the starts")
    assert handler.values == [b"between"]


async def test_a_group_that_begins_with_earliest_reads_what_was_there(kafka: Kafka, world: World) -> None:
    kafka = with_consumer(kafka, auto_offset_reset="earliest")
    handler = Handler()
    await write(kafka, [("a", b"before the first start")])
    await pin(world, kafka)
    async with consuming(kafka, handler):
        await eventually(lambda: handler.done, what="the message")
    assert handler.values == [b"before the first start"]


async def test_several_processes_may_pin_a_start_at_once(kafka: Kafka, world: World) -> None:
    await write(kafka, [("a", b"before")])
    await asyncio.gather(*(pin(world, kafka) for _ in range(3)))
    assert await world.count("group_starts") == 1
    assert await committed(kafka) == 1


async def test_a_partition_that_is_added_later_is_read_from_its_beginning(kafka: Kafka, world: World) -> None:
    handler = Handler()
    topic = kafka.topics.user_events
    await pin(world, kafka)
    admin = AdminClient({"bootstrap.servers": ",".join(kafka.brokers)})
    await asyncio.to_thread(admin.create_partitions([NewPartitions(topic, 4)])[topic].result, 10)
    await eventually(  # the broker that answers clients hears of it a moment later
        lambda: len(admin.list_topics(topic, timeout=10).topics[topic].partitions),
        lambda found: found == 4,
        what="the partition",
    )
    await write(kafka, [("a", b"on the new one")], partition=3)
    async with consuming(kafka, handler):
        await eventually(lambda: handler.done, what="the message")
    assert [(message.partition, message.value) for message in handler.done] == [(3, b"on the new one")]


async def test_a_header_name_that_is_no_text_does_not_stop_the_partition(kafka: Kafka) -> None:
    handler = Handler()
    async with consuming(kafka, handler):
        await asyncio.to_thread(write_with_broken_headers, kafka, 50)
        await write(kafka, [("a", b"after")])
        await eventually(lambda: b"after" in handler.values, what="the message behind it")
    assert [message.headers for message in handler.done if message.value == b"odd"] == [{}] * 50


def numbered(keys: Sequence[str], numbers: Sequence[int]) -> list[tuple[str, bytes]]:
    """A message for each key and number, the keys by turns."""
    return [(key, f"{key}/{number}".encode()) for number in numbers for key in keys]


def write_with_broken_headers(kafka: Kafka, number: int) -> None:
    """Records whose header has bytes for a name that are no UTF-8; only the C library below would send them."""
    producer = native_client(confluent_kafka.Producer, kafka)
    for _ in range(number):
        produce_with_header_name(producer, kafka.topics.user_events, b"\xff\xfe")
    assert producer.flush(10) == 0


def produce_with_header_name(producer: confluent_kafka.Producer, topic: str, name: bytes) -> None:
    end, of_topic, of_value, of_flags, of_headers = 0, 1, 4, 7, 10  # rd_kafka_vtype_t
    library, handle = librdkafka(), ctypes.c_void_p.from_address(id(producer) + object.__basicsize__)
    library.rd_kafka_headers_new.restype = ctypes.c_void_p
    headers = ctypes.c_void_p(library.rd_kafka_headers_new(1))
    library.rd_kafka_header_add(headers, name, ctypes.c_ssize_t(len(name)), b"x", ctypes.c_ssize_t(1))
    value = (of_value, b"odd", ctypes.c_size_t(3), of_flags, 2)  # 2: copy it
    assert library.rd_kafka_producev(handle, of_topic, topic.encode(), *value, of_headers, headers, end) == 0


async def committed(kafka: Kafka) -> int:
    """The sum of what the group has committed on the topic's partitions."""
    return await asyncio.to_thread(_committed, kafka)


def _committed(kafka: Kafka) -> int:
    consumer = native_client(confluent_kafka.Consumer, kafka, **{"group.id": kafka.group_id})
    partitions = [TopicPartition(kafka.topics.user_events, number) for number in range(3)]
    found = consumer.committed(partitions, timeout=10)
    consumer.close()
    return sum(max(0, each.offset) for each in found)


async def pin(world: World, kafka: Kafka) -> None:
    """As the post does it: a topic just made has no leader for a moment, then again."""
    await eventually(lambda: _pin(world, kafka), what="the group's start")


async def _pin(world: World, kafka: Kafka) -> bool:
    try:
        await offsets.pin_start(world.database, kafka, group=kafka.group_id, topic=kafka.topics.user_events)
    except confluent_kafka.KafkaException:
        return False
    return True


class Deaf(confluent_kafka.Consumer):
    """A client that asks to join and is never let in, as one that is stuck after an outage."""

    def subscribe(self, *_: object, **__: object) -> None:
        """Say nothing to anybody."""


async def test_a_client_that_waits_for_partitions_in_vain_is_given_up_for_a_new_one(kafka: Kafka) -> None:
    handler, kinds = Handler(), [Deaf, confluent_kafka.Consumer]

    def next_client(settings: dict[str, object]) -> confluent_kafka.Consumer:
        return kinds.pop(0)(settings)

    async with consuming(kafka, handler, join_seconds=0.2, make_client=next_client):
        await write(kafka, [("a", b"1")])
        await eventually(lambda: handler.values == [b"1"], what="the message, read by the new client")
    assert kinds == []
