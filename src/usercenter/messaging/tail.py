"""Looking on: the messages of a topic as they come, without a group and without a trace on the broker."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import confluent_kafka
from confluent_kafka import TopicPartition

from usercenter.config.model import Kafka
from usercenter.messaging.batch import Received
from usercenter.messaging.client import client_logger, client_settings
from usercenter.messaging.incoming import received

_TIMEOUT_SECONDS: Final = 10.0


class Tail:
    """What is written to a topic after `tail` was opened."""

    def __init__(self, consumer: confluent_kafka.Consumer) -> None:
        self._consumer = consumer

    def take(self, *, timeout_seconds: float) -> Received | None:
        """The next message, or None when none came in time. Blocks."""
        message = self._consumer.poll(timeout_seconds)
        return None if message is None or message.error() is not None else received(message)


@contextmanager
def tail(kafka: Kafka, topic: str) -> Iterator[Tail]:
    """Look on from the present end of the topic. Blocks; raises KafkaException when the broker cannot be asked."""
    settings: dict[str, Any] = client_settings(kafka) | {"group.id": "usercenter-tail", "enable.auto.commit": False}
    consumer = confluent_kafka.Consumer(settings, logger=client_logger())
    try:
        partitions = consumer.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic].partitions
        consumer.assign([_end(consumer, TopicPartition(topic, number)) for number in partitions])
        yield Tail(consumer)
    finally:
        consumer.close()


def _end(consumer: confluent_kafka.Consumer, partition: TopicPartition) -> TopicPartition:
    _, high = consumer.get_watermark_offsets(partition, timeout=_TIMEOUT_SECONDS)
    return TopicPartition(partition.topic, partition.partition, high)
