"""The records of a topic between two sets of offsets, read without a group, a bounded number at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from usercenter.config.model import Kafka
from usercenter.messaging.batch import Received
from usercenter.messaging.client import client_logger, client_settings
from usercenter.messaging.incoming import received

_AT_ONCE: Final = 1_000
_SILENCE_SECONDS: Final = 30.0
_BUFFER: Final = {"queued.max.messages.kbytes": 4_096, "fetch.message.max.bytes": 262_144}
"""What the client library may hold beside what we have taken: a topic can be larger than the memory."""


class Span(NamedTuple):
    """Offsets of one partition: from `start` up to, and without, `end`."""

    start: int
    end: int


class Dated(NamedTuple):
    """A record, and the moment at which its producer says that it was written."""

    message: Received
    at: datetime


async def records(kafka: Kafka, topic: str, spans: Mapping[int, Span]) -> AsyncIterator[list[Dated]]:
    """All records of these spans, up to 1,000 at a time, in the order of each partition.

    Raises KafkaException when the broker says nothing for half a minute.
    """
    open_spans = {partition: span for partition, span in spans.items() if span.start < span.end}
    if not open_spans:
        return
    settings: dict[str, Any] = client_settings(kafka) | {
        "group.id": "usercenter-verify",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        **_BUFFER,
    }
    consumer = confluent_kafka.Consumer(settings, logger=client_logger())
    try:
        consumer.assign([TopicPartition(topic, number, span.start) for number, span in open_spans.items()])
        heard_at = time.monotonic()
        while open_spans:
            taken = await asyncio.to_thread(consumer.consume, _AT_ONCE, 0.5)
            if taken:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > _SILENCE_SECONDS:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001  # the library's public name
            if batch := _inside(taken, open_spans):
                yield batch
    finally:
        await asyncio.to_thread(consumer.close)


def _inside(taken: Sequence[confluent_kafka.Message], open_spans: dict[int, Span]) -> list[Dated]:
    """Those records that were asked for; partitions that are read to their end are struck off."""
    found = []
    for message in taken:
        partition, offset = message.partition() or 0, message.offset() or 0
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  # as above
            if error.fatal() or not error.retriable():
                raise KafkaException(error)
            continue
        if partition not in open_spans:
            continue
        end = open_spans[partition].end
        if error is None and offset < end:
            found.append(Dated(received(message), _moment(message.timestamp()[1])))
        if error is not None or offset >= end - 1:
            del open_spans[partition]
    return found


def _moment(milliseconds: int) -> datetime:
    """A record without a moment is older than all others."""
    return datetime.fromtimestamp(max(0, milliseconds) / 1_000, UTC)
