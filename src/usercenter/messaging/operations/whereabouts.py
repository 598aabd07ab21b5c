"""Where on a topic the events of one user lie: looked up by their time, in the user's own partition, within a bound.

Kafka has no index by key. The relay hears the place of each event and forgets it: keeping it would be another update
for each event, for a question that is seldom asked.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from usercenter.config.model import Kafka
from usercenter.messaging.operations import positions
from usercenter.messaging.operations.records import Span, records

_SKEW: Final = timedelta(seconds=5)
"""Clocks differ, and an event is kept before it is sent."""


class Place(NamedTuple):
    """Where a record lies."""

    partition: int
    offset: int


async def places(
    kafka: Kafka, topic: str, user_id: UUID, wanted: Mapping[UUID, datetime], *, at_most: int = 5_000
) -> dict[UUID, Place]:
    """The places of these events, kept at these moments; those that `at_most` records do not show are left out.

    Reads from the time of each event on, at most a fifth of the bound for one of them. Raises KafkaException.
    """
    found: dict[UUID, Place] = {}
    bounds = await asyncio.to_thread(positions.bounds, kafka, topic)
    partition = partition_of(str(user_id).encode(), len(bounds))
    done_up_to = 0
    for id_, at in sorted(wanted.items(), key=lambda each: each[1]):
        if id_ in found:
            continue
        starts = await asyncio.to_thread(positions.since, kafka, topic, at - _SKEW)
        start = max(done_up_to, starts.get(partition, bounds[partition].high))
        end = min(bounds[partition].high, start + min(at_most, 1_000))
        if start >= end:
            continue
        async for batch in records(kafka, topic, {partition: Span(start, end)}):
            for message, _ in batch:
                if (key := _id_of(message.headers.get("ce_id"))) in wanted:
                    found[key] = Place(message.partition, message.offset)
        at_most -= end - start
        done_up_to = end
    return found


def partition_of(key: bytes, partitions: int) -> int:
    """Where the Java clients, and ours, put a key: murmur2."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    """The hash of 32 bits, as Kafka seeds it."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ (k >> 24)) * m & mask)
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def _id_of(text: str | None) -> UUID:
    try:
        return UUID(text or "")
    except ValueError:
        return UUID(int=0)
