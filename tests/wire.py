"""What the tests of the post share: events to send, posts to send them with, and topics read back by a plain client."""

import asyncio
import ctypes
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import confluent_kafka
import psycopg
from confluent_kafka import TopicPartition
from harness import World, eventually, execute
from msgspec.structs import replace
from psycopg import sql

from usercenter.clock import SystemClock
from usercenter.config.model import Config, Kafka
from usercenter.db import Database
from usercenter.events import Registry, UserLoggedIn, UserRegistered, new_id
from usercenter.messaging import outbox, topics
from usercenter.messaging.batch import Received
from usercenter.messaging.consumer import Consumer
from usercenter.messaging.groups import Context
from usercenter.messaging.outbox import RawMessage
from usercenter.messaging.post import Post
from usercenter.messaging.shards import shard_of
from usercenter.metrics import Metrics

T = TypeVar("T")


class Handler:
    """Takes batches, and waits or fails in between when a test asks for it."""

    def __init__(self) -> None:
        self.begun: list[list[bytes | None]] = []
        self.done: list[Received] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.waits_for_partitions = 1
        """Only batches with messages of so many partitions wait for `may_end`."""
        self.failures: list[Exception] = []
        self.cut_short = 0

    async def __call__(self, batch: Sequence[Received]) -> None:
        if len({message.partition for message in batch}) >= self.waits_for_partitions:
            self.begun.append([message.value for message in batch])
            await self._wait()
        if self.failures:
            raise self.failures.pop(0)
        self.done += batch

    async def _wait(self) -> None:
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cut_short += 1
            raise

    @property
    def values(self) -> list[bytes | None]:
        return [message.value for message in self.done]


def registered(user_id: UUID, sequence: int = 1) -> UserRegistered:
    """The event of a new account."""
    return UserRegistered(
        id=new_id(),
        timestamp=datetime.now(UTC),
        request_id=f"request-{sequence}",
        user_id=user_id,
        actor=str(user_id),
        sequence=sequence,
        username="ada",
        email="ada@example.com",
    )


def logged_in(user_id: UUID, sequence: int) -> UserLoggedIn:
    """One login of a user."""
    return UserLoggedIn(
        id=new_id(),
        timestamp=datetime.now(UTC),
        user_id=user_id,
        sequence=sequence,
        username="ada",
        email="ada@example.com",
    )


def raw(key: str, payload: bytes, *, stream: str = "user_events") -> RawMessage:
    """A message with any key and any bytes."""
    message_id = new_id()
    headers = {"ce_id": str(message_id)}
    return RawMessage(message_id, stream, key, shard_of(UUID(int=len(key))), "raw", payload, headers)


async def add_raw(world: World, *messages: RawMessage) -> None:
    """Commit messages to the outbox, as another process would: nobody is woken."""
    async with world.database.transaction() as tx:
        await outbox.add_raw(tx, messages)


async def make_topics(world: World) -> None:
    """Make the topics of the test's world."""
    await asyncio.to_thread(topics.create_missing, world.config.kafka)


@asynccontextmanager
async def posting(world: World, *, config: Config | None = None) -> AsyncIterator[Post]:
    """A process that only sends: a relay on a pool of its own, closed in order at the end."""
    config = config or world.config
    database = Database(replace(config.database, pool_min=1, pool_max=4))
    await database.open()
    post = Post(
        config,
        groups=(),
        registry=Registry([UserRegistered, UserLoggedIn]),
        database=database,
        context=Context(clock=SystemClock()),
        metrics=Metrics(),
        has_relay=True,
        has_worker=False,
    )
    post.start()
    try:
        yield post
    finally:
        await post.close(timeout_seconds=5)
        await database.close()


async def read(world: World, topic: str, count: int, *, timeout_seconds: float = 20) -> list[confluent_kafka.Message]:
    """Messages of a topic until so many different ones were seen, by a client that is not ours, in partition order."""
    return await asyncio.to_thread(_read, world.config.kafka.brokers, topic, count, timeout_seconds)


def _read(brokers: Sequence[str], topic: str, count: int, timeout_seconds: float) -> list[confluent_kafka.Message]:
    consumer = confluent_kafka.Consumer({"bootstrap.servers": ",".join(brokers), "group.id": "reader", "log_level": 0})
    deadline = time.monotonic() + timeout_seconds
    messages: list[confluent_kafka.Message] = []
    seen: set[bytes | None] = set()
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        while len(seen) < count and time.monotonic() < deadline:
            some = consumer.consume(1_000, 0.1)
            messages += some
            seen.update(message.value() for message in some)
    finally:
        consumer.close()
    return messages


def with_consumer(kafka: Kafka, **settings: Any) -> Kafka:
    return replace(kafka, consumer=replace(kafka.consumer, **settings))


@asynccontextmanager
async def consuming(
    kafka: Kafka, handle: Callable[[Sequence[Received]], Awaitable[None]], **options: Any
) -> AsyncIterator[Consumer]:
    """A member of the group, which has joined when this begins and left when it ends."""
    consumer = Consumer(
        kafka,
        group=kafka.group_id,
        topic=kafka.topics.user_events,
        handle=handle,
        metrics=Metrics(),
        **options,
    )
    consumer.start()
    try:
        await eventually(lambda: consumer.is_assigned, what="the assignment")
        yield consumer
    finally:
        await consumer.stop(timeout_seconds=10)


async def write(kafka: Kafka, messages: Sequence[tuple[str, bytes]], **where: int) -> None:
    """Publish, and wait until the broker has it all."""
    await asyncio.to_thread(_write, kafka, messages, where)


def _write(kafka: Kafka, messages: Sequence[tuple[str, bytes]], where: Mapping[str, int]) -> None:
    producer, refused = native_client(confluent_kafka.Producer, kafka), []
    for key, value in messages:
        producer.produce(
            kafka.topics.user_events, value, key, on_delivery=lambda error, _: refused.append(error), **where
        )
    assert producer.flush(20) == 0
    assert not any(refused), refused


def native_client(kind: Callable[[dict[str, Any]], T], kafka: Kafka, **settings: Any) -> T:
    """A client of the library itself, with none of our settings."""
    return kind({"bootstrap.servers": ",".join(kafka.brokers), "log_level": 0, **settings})


def librdkafka() -> ctypes.CDLL:
    """The C library below the client, for what no Python client does."""
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    return ctypes.CDLL(str(next(folder.glob("librdkafka*.so*"))))


@asynccontextmanager
async def database_away(world: World) -> AsyncIterator[None]:
    """PostgreSQL as it looks to this test's clients when it is down: every connection cut, no new one let in."""
    name = psycopg.conninfo.conninfo_to_dict(world.config.database.url)["dbname"]
    identifier = sql.Identifier(str(name))
    admin = world.parts.config.database.url
    execute(admin, sql.SQL("alter database {} with allow_connections false").format(identifier))
    execute(
        admin,
        sql.SQL("select pg_terminate_backend(pid) from pg_stat_activity where datname = {}").format(str(name)),
    )
    try:
        yield
    finally:
        execute(admin, sql.SQL("alter database {} with allow_connections true").format(identifier))
