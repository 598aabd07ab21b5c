"""Kafka without a database: what two client libraries can do with the settings of the product's relay.

An upper bound for anything that also reads a table and deletes what has arrived.
"""

import asyncio
import time
from collections.abc import Sequence

import confluent_kafka

from bench import traffic
from bench.ground import Ground
from bench.measure import WorkNotDone, rate
from usercenter.events import Event, encode, headers_of
from usercenter.messaging.producer import producer_settings

Headers = list[tuple[str, str | bytes | None]]


async def by_confluent(ground: Ground, number: int) -> dict[str, float]:
    """confluent-kafka alone: hand over everything, wait for every acknowledgement."""
    events = traffic.events(number)
    seconds = await asyncio.to_thread(send, ground, events)
    await _prove(ground, number)
    return rate(number, seconds)


async def by_aiokafka(ground: Ground, number: int) -> dict[str, float]:
    """Aiokafka alone, with the same acks, idempotence, compression, linger and size of a batch."""
    try:
        from aiokafka import AIOKafkaProducer  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise WorkNotDone("aiokafka is not installed: pip install 'aiokafka[snappy]'") from error

    kafka, topic = ground.config.kafka, ground.config.kafka.topics.user_events
    messages = [_parts(event) for event in traffic.events(number)]
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.brokers,
        acks=kafka.producer.acks,
        enable_idempotence=kafka.producer.is_idempotent,
        compression_type=None if kafka.producer.compression == "none" else kafka.producer.compression,
        linger_ms=kafka.producer.linger_ms,
        max_batch_size=kafka.producer.batch_bytes,
    ) as producer:
        began = time.perf_counter()
        sent = [await producer.send(topic, value, key=key, headers=headers) for key, value, headers in messages]
        await asyncio.gather(*sent)
        seconds = time.perf_counter() - began
    await _prove(ground, number)
    return rate(number, seconds)


def send(ground: Ground, events: Sequence[Event]) -> float:
    """Put these on the topic of the user events with confluent-kafka; the seconds until all are acknowledged."""
    topic = ground.config.kafka.topics.user_events
    producer = confluent_kafka.Producer(producer_settings(ground.config.kafka))
    messages = [_parts(event) for event in events]
    began = time.perf_counter()
    for key, value, headers in messages:
        _produce(producer, topic, key, value, headers)
    if left := producer.flush(60):
        raise WorkNotDone(f"{left} messages were not acknowledged")
    return time.perf_counter() - began


def _produce(producer: confluent_kafka.Producer, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
    while True:
        try:
            producer.produce(topic, value, key, headers=headers)
        except BufferError:  # the queue is full: wait until something has arrived
            producer.poll(0.01)
        else:
            return


def _parts(event: Event) -> tuple[bytes, bytes, Headers]:
    headers: Headers = [(name, value.encode()) for name, value in headers_of(event).items()]
    return str(event.user_id).encode(), encode(event), headers


async def _prove(ground: Ground, number: int) -> None:
    if (sent := await ground.sent()) != number:
        raise WorkNotDone(f"{sent} of {number} messages are on the topic")
