"""From Kafka to every effect, once: all handlers of the group `usercenter`, six types of events.

The product's consumer takes up to 500 messages, its router gives them to the handlers in one transaction. The
contenders call the same handler functions behind the same inbox (see `shop.py`), each in the way of its library: one
event per transaction, or FastStream as its documentation shows for at-least-once (`NACK_ON_ERROR`, the offset committed
after the handler), one by one or in batches of 500. The clock runs from the first message that reaches a handler until
the last effect is committed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import confluent_kafka
import psycopg

from bench import lives
from bench.clients import send
from bench.ground import Ground
from bench.measure import Goal, Measure, WorkNotDone, rate
from bench.shop import have_effects
from usercenter.bootstrap import Workshop, workshop
from usercenter.db import Transaction
from usercenter.events import Event
from usercenter.messaging import offsets
from usercenter.messaging.client import consumer_settings
from usercenter.messaging.consumer import Consumer
from usercenter.messaging.groups import Schedule
from usercenter.messaging.router import Received, Router
from usercenter.metrics import Metrics

_BATCH: Final = 500


class _Clock:
    """From the first message given to a handler until the last effect."""

    def __init__(self, number: int) -> None:
        self._left = number
        self._began = 0.0
        self._seconds = 0.0
        self._ended = asyncio.Event()

    def begin(self) -> None:
        self._began = self._began or time.perf_counter()

    def done(self, number: int) -> None:
        self._left -= number
        if self._left <= 0 and not self._ended.is_set():
            self._seconds = time.perf_counter() - self._began
            self._ended.set()

    async def seconds(self) -> float:
        await self._ended.wait()
        return self._seconds


async def by_the_product(ground: Ground, number: int) -> dict[str, float]:
    """The product's consumer and router, joined as `messaging/post.py` joins them."""
    config, clock, metrics = ground.config, _Clock(number), Metrics()
    async with workshop(config) as parts:
        group, topic = parts.groups[0], config.kafka.topics.user_events
        await offsets.pin_start(ground.database, config.kafka, group=group.name, topic=topic)
        await _fill(ground, number)
        router = Router(
            group,
            registry=parts.registry,
            database=parts.database,
            context=parts.context,
            config=config,
            schedule=Schedule(),
            metrics=metrics,
        )

        async def handle(messages: Sequence[Received]) -> None:
            clock.begin()
            await router.handle(messages)
            clock.done(len(messages))

        consumer = Consumer(config.kafka, group=group.name, topic=topic, handle=handle, metrics=metrics)
        consumer.start()
        try:
            seconds = await clock.seconds()
        finally:
            await consumer.stop(timeout_seconds=10)
    await _prove(ground, number)
    return rate(number, seconds)


async def one_per_transaction(ground: Ground, number: int) -> dict[str, float]:
    """confluent-kafka and psycopg: poll one, one transaction on a connection of its own, store the offset."""
    clock, config = _Clock(number), ground.config
    async with workshop(config) as parts:
        await _fill(ground, number)
        consumer = confluent_kafka.Consumer(consumer_settings(config.kafka, config.kafka.group_id))
        consumer.subscribe([config.kafka.topics.user_events])
        async with await psycopg.AsyncConnection.connect(config.database.url, autocommit=True) as connection:
            for _ in range(number):
                message = await _next(consumer)
                clock.begin()
                async with connection.transaction():
                    await have_effects(
                        Transaction(connection),
                        parts,
                        [parts.registry.decode(message.value())],
                        topic=message.topic() or "",
                    )
                consumer.store_offsets(message)
                clock.done(1)
        await asyncio.to_thread(consumer.close)
    await _prove(ground, number)
    return rate(number, await clock.seconds())


async def by_faststream(ground: Ground, number: int) -> dict[str, float]:
    """FastStream, one message at a time."""

    def subscribe(broker: Any, parts: Workshop, clock: _Clock, options: dict[str, Any]) -> None:
        topic, have = ground.config.kafka.topics.user_events, _in_a_transaction(ground, parts, clock)

        @broker.subscriber(topic, **options)  # type: ignore[untyped-decorator]
        async def handle(body: bytes) -> None:
            clock.begin()
            await have([parts.registry.decode(body)])

    return await _with_faststream(ground, number, subscribe)


async def by_faststream_in_batches(ground: Ground, number: int) -> dict[str, float]:
    """FastStream, batches of up to 500."""

    def subscribe(broker: Any, parts: Workshop, clock: _Clock, options: dict[str, Any]) -> None:
        topic, have = ground.config.kafka.topics.user_events, _in_a_transaction(ground, parts, clock)

        @broker.subscriber(topic, batch=True, max_records=_BATCH, **options)  # type: ignore[untyped-decorator]
        async def handle(bodies: list[bytes]) -> None:
            clock.begin()
            await have([parts.registry.decode(body) for body in bodies])

    return await _with_faststream(ground, number, subscribe)


async def _with_faststream(
    ground: Ground, number: int, subscribe: Callable[[Any, Workshop, _Clock, dict[str, Any]], None]
) -> dict[str, float]:
    try:
        from faststream import AckPolicy  # type: ignore[import-not-found,unused-ignore]
        from faststream.confluent import KafkaBroker  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise WorkNotDone("FastStream is not installed: pip install 'faststream[confluent]'") from error
    clock, kafka = _Clock(number), ground.config.kafka
    options = {
        "group_id": kafka.group_id,
        "auto_offset_reset": "earliest",
        "ack_policy": AckPolicy.NACK_ON_ERROR,
        "decoder": _as_it_is,
    }
    async with workshop(ground.config) as parts:
        await _fill(ground, number)
        broker = KafkaBroker(kafka.brokers, logger=None, apply_types=False)
        subscribe(broker, parts, clock, options)
        await broker.start()
        try:
            seconds = await clock.seconds()
        finally:
            with suppress(asyncio.CancelledError):
                await broker.stop()
    await _prove(ground, number)
    return rate(number, seconds)


async def _as_it_is(message: Any) -> Any:
    """The bytes, for our registry: one decoding for all contenders."""
    return message.body


def _in_a_transaction(ground: Ground, parts: Workshop, clock: _Clock) -> Callable[[Sequence[Event]], Awaitable[None]]:
    async def have(events: Sequence[Event]) -> None:
        async with parts.database.transaction() as tx:
            await have_effects(tx, parts, events, topic=ground.config.kafka.topics.user_events)
        clock.done(len(events))

    return have


async def _next(consumer: confluent_kafka.Consumer) -> confluent_kafka.Message:
    while (message := consumer.poll(0.1)) is None or message.error():  # noqa: ASYNC110
        await asyncio.sleep(0)  # nothing else runs: it reads and handles in turn
    return message


async def _fill(ground: Ground, number: int) -> None:
    await asyncio.to_thread(send, ground, lives.events(number))
    await ground.settle()


async def _prove(ground: Ground, number: int) -> None:
    users = number // lives.EVENTS_OF_A_USER
    deleted = -(-users // lives.ONE_IN)
    kept = users - deleted
    wanted = {
        "inbox": number,
        "user_settings": kept,
        "login_log": kept * lives.LOGINS_OF_A_USER,
        "last_logins": kept,
        "security_log": kept,
        "erasures": deleted,
        "outbox": number + 3 * users,  # a fact of each event; welcome, changed password, changed status by mail
    }
    found = {table: await ground.count(table) for table in wanted}
    if found != wanted:
        raise WorkNotDone(f"{found} rows are there instead of {wanted}")
    if await ground.count("tasks") < kept * (lives.EVENTS_OF_A_USER - 1) + deleted:
        raise WorkNotDone("not every event left its task to refresh the cache")


_BATCHES: Final = "FastStream, batches of 500"
_ONE_BY_ONE: Final = "one event per transaction"

MEASURE: Final = Measure(
    name="consume",
    work="Kafka → inbox and all effects of ten handlers, committed, each once; six types of events",
    events=100_000,
    fewer={_ONE_BY_ONE: 5_000, "FastStream, one by one": 5_000},
    contenders={
        "the product's consumer and router": by_the_product,
        _ONE_BY_ONE: one_per_transaction,
        "FastStream, one by one": by_faststream,
        _BATCHES: by_faststream_in_batches,
    },
    goals=(
        Goal(words="≥ 10 k/s in one process", figure="events/s", at_least=10_000),
        Goal(words="≥ 12 × one by one", figure="events/s", against=_ONE_BY_ONE, at_least=12),
        Goal(words="≥ 1.0 × FastStream's batch", figure="events/s", against=_BATCHES, at_least=1),
    ),
)
