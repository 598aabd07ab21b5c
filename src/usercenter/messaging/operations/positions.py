"""Where a topic begins and ends, and where a group stands in it. Everything here blocks; call it from a thread."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final, NamedTuple

import confluent_kafka
from confluent_kafka import TopicPartition

from usercenter.config.model import Kafka
from usercenter.messaging.client import client_logger, client_settings

TIMEOUT_SECONDS: Final = 10.0
_LOOKING_ON: Final = "usercenter-verify"
_PAUSE_SECONDS: Final = 0.1
_NEW_SECONDS: Final = 1.0
"""How long a topic that was made a moment ago may be unknown to the broker that is asked."""
_PASSING: Final = (
    confluent_kafka.KafkaError.NOT_LEADER_FOR_PARTITION,
    confluent_kafka.KafkaError.LEADER_NOT_AVAILABLE,
)


class Bounds(NamedTuple):
    """The records that a partition has: from `low` up to, and without, `high`."""

    low: int
    high: int


def committed(kafka: Kafka, *, group: str, topic: str) -> dict[int, int]:
    """How far the group has said that it is, by partition; partitions without a commit are left out.

    Raises KafkaException when the broker cannot be asked or has no such topic.
    """
    with _consumer(kafka, group) as consumer:
        asked = [TopicPartition(topic, partition) for partition in _partitions(consumer, topic)]
        answers = _checked(consumer.committed(asked, timeout=TIMEOUT_SECONDS))
        return {each.partition: each.offset for each in answers if each.offset >= 0}


def bounds(kafka: Kafka, topic: str) -> dict[int, Bounds]:
    """What the topic holds now, by partition. Raises KafkaException as `committed` does."""
    with _consumer(kafka, _LOOKING_ON) as consumer:
        return {
            partition: _bounds(consumer, TopicPartition(topic, partition)) for partition in _partitions(consumer, topic)
        }


def since(kafka: Kafka, topic: str, moment: datetime) -> dict[int, int]:
    """The first offset at or after a moment, by partition; partitions with nothing that new are left out."""
    with _consumer(kafka, _LOOKING_ON) as consumer:
        milliseconds = max(0, int(moment.timestamp() * 1_000))
        asked = [TopicPartition(topic, partition, milliseconds) for partition in _partitions(consumer, topic)]
        answers = _checked(consumer.offsets_for_times(asked, timeout=TIMEOUT_SECONDS))
        return {each.partition: each.offset for each in answers if each.offset >= 0}


def _bounds(consumer: confluent_kafka.Consumer, partition: TopicPartition) -> Bounds:
    """Asked again while the partition has no leader for a moment."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            return Bounds(*consumer.get_watermark_offsets(partition, timeout=TIMEOUT_SECONDS))
        except confluent_kafka.KafkaException as error:
            if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


@contextmanager
def _consumer(kafka: Kafka, group: str) -> Iterator[confluent_kafka.Consumer]:
    """A client that asks and joins nothing."""
    settings = client_settings(kafka) | {"group.id": group, "enable.auto.commit": False}
    consumer = confluent_kafka.Consumer(settings, logger=client_logger())
    try:
        yield consumer
    finally:
        consumer.close()


def _partitions(consumer: confluent_kafka.Consumer, topic: str) -> list[int]:
    deadline = time.monotonic() + _NEW_SECONDS
    while True:
        metadata = consumer.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic]
        if metadata.error is None:
            return sorted(metadata.partitions)
        if time.monotonic() > deadline:
            raise confluent_kafka.KafkaException(metadata.error)
        time.sleep(_PAUSE_SECONDS)


def _checked(partitions: Sequence[TopicPartition] | None) -> Sequence[TopicPartition]:
    for each in partitions or ():
        if each.error is not None:
            raise confluent_kafka.KafkaException(each.error)
    return partitions or ()
