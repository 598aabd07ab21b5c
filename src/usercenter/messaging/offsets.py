"""Where a group begins to read: decided once, and remembered where it cannot expire.

The broker's own rule (`auto.offset.reset`) is asked again whenever a commit is missing: at the second start of a group
that had nothing to commit, for a partition added later, after the broker has expired the commits of an idle group. With
`latest` each of these loses events. So `kafka.consumer.auto_offset_reset` counts for the very first start alone: it is
committed at once, and the group is written down in PostgreSQL. From then on a missing commit means the oldest record,
and the inbox knows what was handled already.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final

import confluent_kafka
import structlog
from confluent_kafka import TopicPartition

from usercenter.config.model import Kafka
from usercenter.db import Database
from usercenter.messaging import commits
from usercenter.messaging.client import client_logger, client_settings

log = structlog.get_logger()

TIMEOUT_SECONDS: Final = 10.0


async def pin_start(database: Database, kafka: Kafka, *, group: str, topic: str) -> None:
    """See to it that the group has a start for this topic, before anything is published for it or read by it.

    May be called again and by several processes at once. Raises KafkaException when the broker is needed (at the very
    first start) and cannot be asked, DatabaseUnavailable when PostgreSQL cannot.
    """
    async with database.transaction() as tx:
        await tx.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"group {group} {topic}",))
        known = await tx.fetch_one("select 1 from group_starts where group_name = %s and topic = %s", (group, topic))
        if known:
            return
        await asyncio.to_thread(_commit_start, kafka, group, topic)
        await tx.execute("insert into group_starts (group_name, topic) values (%s, %s)", (group, topic))


def _commit_start(kafka: Kafka, group: str, topic: str) -> None:
    settings = client_settings(kafka) | {"group.id": group, "enable.auto.commit": False}
    consumer = confluent_kafka.Consumer(settings, logger=client_logger())
    try:
        committed = _committed(consumer, topic)
        if any(each.offset >= 0 for each in committed):
            return
        start = [_start_of(consumer, each, kafka.consumer.auto_offset_reset) for each in committed]
        _checked(consumer.commit(offsets=start, asynchronous=False))
        log.info(
            "kafka.group_pinned", group=group, topic=topic, offsets={each.partition: each.offset for each in start}
        )
    finally:
        consumer.close()


def _committed(consumer: confluent_kafka.Consumer, topic: str) -> list[TopicPartition]:
    """What the group has committed. Who may not ask would wait in vain: the refusal comes as a message instead."""
    partitions = _all_partitions(consumer, topic)
    try:
        return _checked(consumer.committed(partitions, timeout=TIMEOUT_SECONDS))
    except confluent_kafka.KafkaException:
        refusal = consumer.poll(0)
        if refusal is not None and (error := refusal.error()) is not None:
            raise confluent_kafka.KafkaException(error) from None
        raise


def _checked(partitions: list[TopicPartition] | None) -> list[TopicPartition]:
    """The answer for each partition; an error for one of them is an error, not "nothing committed"."""
    for each in partitions or ():
        if each.error is not None:
            raise confluent_kafka.KafkaException(each.error)
    return partitions or []


def _all_partitions(consumer: confluent_kafka.Consumer, topic: str) -> list[TopicPartition]:
    metadata = consumer.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic]
    if metadata.error is not None:
        raise confluent_kafka.KafkaException(metadata.error)
    return [TopicPartition(topic, partition) for partition in sorted(metadata.partitions)]


def _start_of(consumer: confluent_kafka.Consumer, partition: TopicPartition, start: str) -> TopicPartition:
    low, high = consumer.get_watermark_offsets(partition, timeout=TIMEOUT_SECONDS)
    moment = commits.note(datetime.now(UTC))
    return TopicPartition(partition.topic, partition.partition, high if start == "latest" else low, moment)
