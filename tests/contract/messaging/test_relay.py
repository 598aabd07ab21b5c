"""From the outbox to Kafka: nothing lost, each user's order kept, rows gone only when Kafka has them."""

import asyncio
import ctypes
import gc
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from harness import World, eventually
from msgspec.structs import replace
from wire import (
    add_raw,
    database_away,
    librdkafka,
    logged_in,
    make_topics,
    native_client,
    posting,
    raw,
    read,
    registered,
)

from usercenter.clock import Clock, HeldClock
from usercenter.config.model import Config
from usercenter.events import encode
from usercenter.messaging import outbox
from usercenter.messaging.client import topics_by_stream
from usercenter.messaging.leases import Leases
from usercenter.messaging.relay import Relay
from usercenter.metrics import Metrics


async def test_an_event_arrives_with_the_key_value_and_headers_of_the_design(world: World) -> None:
    user_id = uuid4()
    event = registered(user_id)
    async with world.database.transaction() as tx:
        await outbox.add(tx, event, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    async with posting(world):
        await drained(world)
    (message,) = await read(world, world.config.kafka.topics.user_events, 1)

    assert message.key() == str(user_id).encode()
    assert message.value() == encode(event)
    assert dict(message.headers() or ()) == {
        "event_type": b"user.registered",
        "request_id": b"request-1",
        "content-type": b"application/json",
        "ce_id": str(event.id).encode(),
        "ce_type": b"user.registered",
        "ce_source": b"usercenter",
        "ce_specversion": b"1.0",
        "ce_time": event.timestamp.isoformat().replace("+00:00", "Z").encode(),
        "ce_subject": str(user_id).encode(),
        "ce_sequence": b"1",
        "traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }


async def test_a_key_goes_to_the_partition_that_the_java_client_would_choose(world: World) -> None:
    murmur2 = {  # the vectors of Kafka's own test of its hash
        "21": -973932308,
        "foobar": -790332482,
        "a-little-bit-long-string": -985981536,
        "a-little-bit-longer-string": -1486304829,
        "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    }
    await add_raw(world, *(raw(key, key.encode()) for key in murmur2))
    async with posting(world):
        await drained(world)
    messages = await read(world, world.config.kafka.topics.user_events, len(murmur2))

    expected = {key.encode(): (number & 0x7FFFFFFF) % 3 for key, number in murmur2.items()}
    assert {message.key(): message.partition() for message in messages} == expected


async def test_a_thousand_events_of_one_user_keep_their_order_while_relays_come_and_go(world: World) -> None:
    user, others = uuid4(), [uuid4() for _ in range(50)]
    await add_logins(world, user, range(1, 501))
    async with posting(world):
        await eventually(lambda: world.count("outbox"), lambda left: left < 400, what="the first deliveries")
        async with posting(world):
            await add_logins(world, user, range(501, 1001))
            for other in others:
                await add_logins(world, other, range(1, 11))
            await eventually(lambda: owners(world), lambda number: number == 2, what="the second relay's share")
            await eventually(lambda: world.count("outbox"), lambda left: left < 300, what="more deliveries")
        await drained(world)

    messages = await read(world, world.config.kafka.topics.user_events, 1500)
    assert in_first_order(messages, user) == list(range(1, 1001))
    assert all(in_first_order(messages, other) == list(range(1, 11)) for other in others)


async def test_a_row_that_commits_late_is_sent_although_later_positions_went_before(world: World) -> None:
    late, early = raw("late", b"late"), raw("early", b"early")
    topic = world.config.kafka.topics.user_events
    async with posting(world):
        async with world.database.transaction() as tx:
            await outbox.add_raw(tx, [late])
            await add_raw(world, early)
            await drained(world)
            assert [message.value() for message in await read(world, topic, 1)] == [b"early"]
        await drained(world)
    messages = await read(world, topic, 2)

    assert {message.value() for message in messages} == {b"early", b"late"}


async def test_a_relay_that_starts_before_its_broker_sends_when_it_comes(world: World) -> None:
    kafka = world.parts.kafka
    assert kafka is not None
    await add_raw(world, raw("a", b"one"))
    kafka.freeze()
    try:
        async with posting(world) as post:
            assert post.problems() == []
            kafka.thaw()
            await drained(world)
    finally:
        kafka.thaw()
    assert [message.value() for message in await read(world, world.config.kafka.topics.user_events, 1)] == [b"one"]


async def test_a_message_that_the_broker_finds_too_large_becomes_a_dead_letter_and_its_lane_goes_on(
    world: World,
) -> None:
    await limit_message_bytes(world, 20_000)
    huge = raw("a", os.urandom(30_000))
    await add_raw(world, raw("a", b"before"), huge, raw("a", b"after"))
    async with posting(world):
        await drained(world)
        messages = await read(world, world.config.kafka.topics.user_events, 2)

    assert [message.value() for message in messages] == [b"before", b"after"]
    assert await world.rows("select handler, key, value from dead_letters") == [("relay", b"a", huge.payload)]


async def test_small_messages_that_are_too_large_together_are_no_dead_letters(world: World) -> None:
    await limit_message_bytes(world, 20_000)
    messages = [raw(f"user {number}", os.urandom(2_000)) for number in range(200)]
    await add_raw(world, *messages)
    async with posting(world):
        await drained(world)
        arrived = await read(world, world.config.kafka.topics.user_events, 200)

    assert {message.value() for message in arrived} == {message.payload for message in messages}
    assert await world.count("dead_letters") == 0


async def test_a_full_queue_of_the_client_library_neither_loses_nor_reorders(world: World) -> None:
    users = [uuid4() for _ in range(40)]
    for user in users:
        await add_logins(world, user, range(1, 6))
    async with posting(world, config=with_librdkafka(world, {"queue.buffering.max.messages": "7"})):
        await drained(world)

    messages = await read(world, world.config.kafka.topics.user_events, 200)
    assert len(messages) == 200
    assert all(in_first_order(messages, user) == [1, 2, 3, 4, 5] for user in users)


async def test_a_row_that_is_put_back_while_others_are_fetched_is_not_overtaken_by_them(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    broker, clock = world.parts.kafka, HeldClock(datetime(2026, 1, 1, tzinfo=UTC))
    assert broker is not None
    await make_topics(world)
    leases = WatchedLeases("relay", database=world.database, clock=clock, metrics=Metrics(), lease_seconds=10)
    await leases.beat()
    async with AsyncExitStack() as stack:
        broker.freeze()
        stack.callback(broker.thaw)
        await stack.enter_async_context(relaying(world, leases, clock))
        await add_raw(world, raw("a", b"1"), raw("a", b"2"))
        await eventually(leases.busy, what="the first on its way, the second behind it")
        async with world.database.transaction() as tx:
            await tx.execute("lock table outbox in access exclusive mode")
            await outbox.add_raw(tx, [raw("a", b"3")])
            await eventually(lambda: waits_for_lock(world), what="the fetch that will bring the third")
            clock.advance(timedelta(seconds=9))  # the lease is not trusted when the second could go
            broker.thaw()
            await eventually(lambda: "kafka.message_delivered" in caplog.text, what="the first receipt")
            await leases.beat()
        await drained(world)

    messages = await read(world, world.config.kafka.topics.user_events, 3)
    assert [message.value() for message in messages] == [b"1", b"2", b"3"]


async def test_a_user_with_a_long_backlog_does_not_hold_up_the_others(world: World) -> None:
    busy, other = uuid4(), uuid4()
    await add_logins(world, busy, range(1, 3_001))
    await add_logins(world, other, [1])
    async with posting(world):
        await eventually(lambda: waiting_for(world, other), lambda left: left == 0, what="the other user's delivery")
        assert await waiting_for(world, busy) > 1_000


async def test_a_producer_that_is_broken_for_good_is_replaced(world: World) -> None:
    user = uuid4()
    async with posting(world):
        await add_logins(world, user, [1])
        await drained(world)
        break_every_producer()
        await add_logins(world, user, [2, 3])
        await drained(world)
    messages = await read(world, world.config.kafka.topics.user_events, 3)
    assert in_first_order(messages, user) == [1, 2, 3]


async def test_a_row_for_a_stream_that_nobody_knows_waits_and_holds_up_only_its_own_key(world: World) -> None:
    await add_raw(world, raw("a", b"lost?", stream="user_gossip"), raw("a", b"behind"), raw("b", b"beside"))
    async with posting(world) as post:
        await eventually(lambda: world.count("outbox"), lambda left: left == 2, what="the end of the row beside")
        assert post.problems() == []
        async with world.database.transaction() as tx:
            await tx.execute("update outbox set aggregatetype = 'user_events' where payload = 'lost?'")
        await drained(world)
    messages = await read(world, world.config.kafka.topics.user_events, 3)
    assert [message.value() for message in messages if message.key() == b"a"] == [b"lost?", b"behind"]


async def test_a_relay_that_cannot_be_made_takes_no_shards_from_the_others(world: World) -> None:
    impossible = replace(world.config.kafka.producer, linger_ms=9_000, delivery_timeout_ms=1_000)
    config = replace(world.config, kafka=replace(world.config.kafka, producer=impossible))
    async with posting(world, config=config) as post:
        await eventually(post.problems, what="the problem")
        await eventually(lambda: not post.problems(), what="the next try")
        assert await world.count("lease_owners") == 0


async def test_a_stop_while_the_database_is_away_ends_in_bounded_time_without_an_error(world: World) -> None:
    config = replace(world.config, database=replace(world.config.database, pool_timeout_seconds=1))
    async with AsyncExitStack() as stack:
        post = await stack.enter_async_context(posting(world, config=config))
        await eventually(lambda: owners(world), lambda number: number == 1, what="the relay's lease")
        await stack.enter_async_context(database_away(world))
        started = time.monotonic()
        await post.close(timeout_seconds=5)
        assert time.monotonic() - started < 10


async def test_a_stop_while_delivered_rows_are_being_deleted_loses_track_of_none(world: World) -> None:
    async with AsyncExitStack() as stack:
        post = await stack.enter_async_context(posting(world))
        async with world.database.transaction() as tx:
            await outbox.add_raw(tx, [raw("a", b"1"), raw("b", b"2")])
            await tx.execute("lock table outbox in share row exclusive mode")
        async with world.database.transaction() as tx:
            await tx.execute("lock table outbox in share mode")  # rows can be read, not deleted
            await eventually(lambda: waits_for_lock(world), what="the relay that wants to delete")
            closing = asyncio.create_task(post.close(timeout_seconds=5))
            await asyncio.wait([closing], timeout=0.1)
        await closing
        assert await world.count("outbox") == 0


async def test_a_relay_that_starts_before_the_database_sends_when_it_comes(world: World) -> None:
    await add_raw(world, raw("a", b"1"))
    async with AsyncExitStack() as stack:
        async with database_away(world):
            await stack.enter_async_context(posting(world))
            assert not await world.database.is_reachable()
        await eventually(world.database.is_reachable, what="PostgreSQL")
        await drained(world)


async def test_rows_are_sent_soon_after_the_database_came_back(world: World) -> None:
    async with posting(world):
        await add_raw(world, raw("a", b"before"))
        await drained(world)
        async with database_away(world):
            assert not await world.database.is_reachable()
        await eventually(world.database.is_reachable, what="PostgreSQL")
        await add_raw(world, raw("a", b"after"))
        await drained(world)
    messages = await read(world, world.config.kafka.topics.user_events, 2)
    assert [message.value() for message in messages] == [b"before", b"after"]


async def drained(world: World) -> None:
    """Wait until every row of the outbox is gone."""
    await eventually(lambda: world.count("outbox"), lambda left: left == 0, what="the end of the outbox")


async def owners(world: World) -> int:
    """How many relays own shards now."""
    return int(await world.value("select count(distinct owner) from leases where kind = 'relay'"))


async def add_logins(world: World, user: UUID, sequences: Iterable[int]) -> None:
    async with world.database.transaction() as tx:
        await outbox.add(tx, *(logged_in(user, sequence) for sequence in sequences))


def in_first_order(messages: list[confluent_kafka.Message], user: UUID) -> list[int]:
    """The sequences of a user as a reader with an inbox sees them: by their first arrival."""
    found = [
        int(dict(message.headers() or ())["ce_sequence"]) for message in messages if message.key() == str(user).encode()
    ]
    return list(dict.fromkeys(found))


class WatchedLeases(Leases):
    """Shows the test which shards have work in hand."""

    def finish_before_release(self, busy: Callable[[], AbstractSet[int]]) -> None:
        self.busy = busy
        super().finish_before_release(busy)


@asynccontextmanager
async def relaying(world: World, leases: Leases, clock: Clock) -> AsyncIterator[Relay]:
    """A relay whose leases and clock are the test's."""
    topics = topics_by_stream(world.config.kafka)
    relay = Relay(world.config, database=world.database, leases=leases, topics=topics, clock=clock, metrics=Metrics())
    running = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        running.cancel()
        await asyncio.wait([running])
        await relay.close(timeout_seconds=5)


async def waits_for_lock(world: World) -> bool:
    return bool(await world.value("select exists (select 1 from pg_locks where not granted)"))


async def limit_message_bytes(world: World, number: int) -> None:
    """Make the topic of the events so that it takes batches up to this size only."""
    topic = world.config.kafka.topics.user_events
    admin = native_client(AdminClient, world.config.kafka)
    new = NewTopic(topic, 3, 1, config={"max.message.bytes": str(number)})
    await asyncio.to_thread(admin.create_topics([new])[topic].result, 10)


def with_librdkafka(world: World, settings: dict[str, str]) -> Config:
    return replace(world.config, kafka=replace(world.config.kafka, librdkafka=settings))


async def waiting_for(world: World, user: UUID) -> int:
    return int(await world.value("select count(*) from outbox where aggregateid = %s", str(user)))


def break_every_producer() -> None:
    """A fatal error, as the client library raises it when it has lost the sequence of its batches: by its own test."""
    break_one = librdkafka().rd_kafka_test_fatal_error
    for each in gc.get_objects():
        if isinstance(each, confluent_kafka.Producer):
            handle = ctypes.c_void_p.from_address(id(each) + object.__basicsize__)  # the first field of its struct
            break_one(handle, confluent_kafka.KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, b"a test")
