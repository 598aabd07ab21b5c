"""The topics on the broker: made where they are missing, checked where they exist.

Everything here blocks; call it from a thread.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any, Final

import confluent_kafka
import msgspec
import structlog
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from usercenter.config.model import Kafka
from usercenter.messaging.client import client_logger, client_settings, topics_by_stream
from usercenter.messaging.onlooker import EARLIEST, LATEST, Clients, Onlooker, list_offsets, records_at, written_at

log = structlog.get_logger()

TIMEOUT_SECONDS: Final = 10.0
_LOOK_AGAIN_SECONDS: Final = 0.05


class TopicMissing(Exception):
    """The broker has no topic of that name."""


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """One partition: who leads it, who has it, and which records it holds."""

    partition: int
    leader: int
    replicas: list[int]
    in_sync: list[int]
    earliest_offset: int
    next_offset: int
    earliest_at: datetime | None = None
    """When the oldest record that is left was written; None in an empty partition."""
    latest_at: datetime | None = None
    """When the last one was."""


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as the broker describes it."""

    name: str
    partitions: list[Partition]


def create_missing(kafka: Kafka) -> list[str]:
    """Make those of our topics that are missing, and wait until they can be used; returns their names.

    Logs what differs in those that exist. Raises KafkaException with the broker's reason (not authorised, replication
    factor larger than the cluster …).
    """
    admin = AdminClient(client_settings(kafka), logger=client_logger())
    existing = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    wanted = topics_by_stream(kafka).values()
    _check(kafka, existing, wanted)
    new = [_new_topic(kafka, name) for name in wanted if name not in existing]
    if new:
        _wait_for_creation(admin.create_topics(new, operation_timeout=TIMEOUT_SECONDS))
        _wait_for_leaders(admin, [topic.topic for topic in new])
    return [topic.topic for topic in new]


def names(kafka: Kafka, *, include_internal: bool = False) -> dict[str, int]:
    """All topics of the broker with their number of partitions."""
    admin = AdminClient(client_settings(kafka), logger=client_logger())
    found = partitions_of(admin.list_topics(timeout=TIMEOUT_SECONDS))
    return {name: number for name, number in found.items() if include_internal or not is_internal(name)}


def partitions_of(metadata: Any) -> dict[str, int]:
    """The number of partitions of every topic that the brokers have named."""
    return {name: len(metadata.topics[name].partitions) for name in sorted(metadata.topics)}


def is_internal(name: str) -> bool:
    """Whether it is one of Kafka's own."""
    return name.startswith("__")


def describe(kafka: Kafka, name: str) -> Topic:
    """One topic with its partitions. Raises TopicMissing, and KafkaException when the broker cannot be asked."""
    onlooker = Onlooker(kafka)
    try:
        with onlooker.clients() as clients:
            metadata = clients.admin.list_topics(name, timeout=TIMEOUT_SECONDS).topics[name]
            if metadata.error is None:
                return described(clients, metadata, timeout_seconds=TIMEOUT_SECONDS)
    finally:
        onlooker.close()
    if metadata.error.code() != confluent_kafka.KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise confluent_kafka.KafkaException(metadata.error)
    raise TopicMissing(f"there is no topic {name!r} on {', '.join(kafka.brokers)}: `usercenter topics list`")


def described(clients: Clients, metadata: Any, *, timeout_seconds: float) -> Topic:
    """The topic of this metadata. Raises KafkaException."""
    name: str = metadata.topic
    spots = [(name, number) for number in sorted(metadata.partitions)]
    low = list_offsets(clients.admin, spots, EARLIEST, timeout_seconds=timeout_seconds)
    high = list_offsets(clients.admin, spots, LATEST, timeout_seconds=timeout_seconds)
    full = [spot for spot in spots if low[spot] < high[spot]]
    firsts = {spot: low[spot] for spot in full}
    lasts = {spot: high[spot] - 1 for spot in full}
    first = records_at(clients.consumer, firsts, timeout_seconds=timeout_seconds)
    last = records_at(clients.consumer, lasts, timeout_seconds=timeout_seconds)
    found = [
        Partition(
            partition=spot[1],
            leader=metadata.partitions[spot[1]].leader,
            replicas=list(metadata.partitions[spot[1]].replicas),
            in_sync=list(metadata.partitions[spot[1]].isrs),
            earliest_offset=low[spot],
            next_offset=high[spot],
            earliest_at=written_at(first.get(spot)),
            latest_at=written_at(last.get(spot)),
        )
        for spot in spots
    ]
    return Topic(name=name, partitions=found)


def _new_topic(kafka: Kafka, name: str) -> NewTopic:
    return NewTopic(
        name,
        num_partitions=kafka.new_topics.partitions,
        replication_factor=kafka.new_topics.replication_factor,
        config={"min.insync.replicas": str(kafka.new_topics.min_insync_replicas)},
    )


def _check(kafka: Kafka, existing: Mapping[str, Any], wanted: Any) -> None:
    for name in wanted:
        if name not in existing:
            continue
        partitions = existing[name].partitions
        replicas = min((len(each.replicas) for each in partitions.values()), default=0)
        if replicas < kafka.new_topics.replication_factor:
            log.warning(
                "kafka.topic_differs",
                topic=name,
                partitions=len(partitions),
                replication_factor=replicas,
                wanted_replication_factor=kafka.new_topics.replication_factor,
                next="kafka-reassign-partitions raises it; kafka.new_topics only says how new topics are made",
            )


def _wait_for_creation(futures: Mapping[str, "Future[None]"]) -> None:
    for name, future in futures.items():
        try:
            future.result(timeout=TIMEOUT_SECONDS)
            log.info("kafka.topic_created", topic=name)
        except confluent_kafka.KafkaException as error:
            if error.args[0].code() != confluent_kafka.KafkaError.TOPIC_ALREADY_EXISTS:  # another process was first
                raise


def _wait_for_leaders(admin: AdminClient, created: Sequence[str]) -> None:
    """Brokers learn of a new topic one after the other; until then they say that there is none."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        known = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
        if all(name in known and _has_leaders(known[name]) for name in created):
            return
        time.sleep(_LOOK_AGAIN_SECONDS)
    log.warning("kafka.topics_without_leader", topics=created, next="sends and reads wait for them")


def _has_leaders(topic: Any) -> bool:
    return bool(topic.partitions) and all(each.leader >= 0 for each in topic.partitions.values())
