"""Deleting records and topics, and who had not read them yet.

Everything here blocks and asks the brokers; call it from a thread. What is deleted cannot be brought back from Kafka;
the events of our users stay in event_log (`usercenter replay`).
"""

from typing import Any, Final

import confluent_kafka
import msgspec
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from usercenter.config.model import Kafka
from usercenter.messaging import consumer_groups, topics
from usercenter.messaging.client import client_logger, client_settings

TIMEOUT_SECONDS: Final = 30.0


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """Records of a topic that a group has not read."""

    group: str
    records: int


class Purge(msgspec.Struct, frozen=True, kw_only=True):
    """What a purge deletes: every record up to these offsets, and who has not read them."""

    topic: str
    up_to: dict[int, int]
    records: int
    unread: list[Unread]


def plan(kafka: Kafka, topic: str) -> Purge:
    """What would be deleted now; changes nothing. Raises TopicMissing, KafkaException."""
    partitions = topics.describe(kafka, topic).partitions
    return Purge(
        topic=topic,
        up_to={each.partition: each.next_offset for each in partitions},
        records=sum(each.next_offset - each.earliest_offset for each in partitions),
        unread=_unread(kafka, topic),
    )


def purge(kafka: Kafka, planned: Purge) -> None:
    """Delete what was planned; later records stay. Raises KafkaException."""
    offsets = [TopicPartition(planned.topic, number, offset) for number, offset in planned.up_to.items()]
    admin = _admin(kafka)  # kept until the answers are there: with the client its questions end
    for future in admin.delete_records(offsets, operation_timeout=TIMEOUT_SECONDS).values():
        future.result()


def delete_topic(kafka: Kafka, topic: str) -> None:
    """Delete a topic with all its records. Raises TopicMissing, KafkaException."""
    admin = _admin(kafka)
    try:
        admin.delete_topics([topic], operation_timeout=TIMEOUT_SECONDS)[topic].result()
    except confluent_kafka.KafkaException as error:
        if error.args[0].code() == confluent_kafka.KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise topics.TopicMissing(f"there is no topic {topic!r}: `usercenter topics list`") from error
        raise


def _unread(kafka: Kafka, topic: str) -> list[Unread]:
    found = []
    for name in consumer_groups.names(kafka):
        group = consumer_groups.describe(kafka, name, looks_for_oldest=False)
        records = sum(place.lag for place in group.places if place.topic == topic)
        if records:
            found.append(Unread(group=name, records=records))
    return found


def _admin(kafka: Kafka) -> Any:
    return AdminClient(client_settings(kafka), logger=client_logger())
