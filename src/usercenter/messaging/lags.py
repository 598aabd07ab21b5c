"""How far groups are behind, asked of the brokers with two clients that are kept: no connection is made for a look.

Everything here blocks; call it from a thread.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import confluent_kafka
import msgspec
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from usercenter.config.model import Kafka
from usercenter.messaging.client import client_logger, client_settings
from usercenter.messaging.consumer_groups import Place
from usercenter.messaging.incoming import received

_TIMEOUT_SECONDS: Final = 3.0
_LITTLE: Final = {"queued.min.messages": 1, "fetch.message.max.bytes": 65_536, "fetch.wait.max.ms": 100}
"""One record of each partition is wanted, so not much more is fetched."""
_EARLIEST: Final[OffsetSpec] = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]

Spot = tuple[str, int]
"""Topic and partition."""


class GroupLag(msgspec.Struct, frozen=True, kw_only=True):
    """One group of ours on its topic."""

    name: str
    topic: str
    places: list[Place]

    @property
    def lag(self) -> int:
        """Records that the group has not committed as handled."""
        return sum(place.lag for place in self.places)

    @property
    def oldest_unread_at(self) -> datetime | None:
        """When the oldest event of them was committed; None where there is none, or none could be read in time."""
        return min((place.oldest_unread_at for place in self.places if place.oldest_unread_at), default=None)


class Lags:
    """The two clients, made at the first look."""

    def __init__(self, kafka: Kafka, topics: Mapping[str, str]) -> None:
        """`topics`: by group."""
        self._kafka = kafka
        self._topics = topics
        self._lock = threading.Lock()  # a look that nobody waits for any more must end before its clients do
        self._clients: tuple[AdminClient, confluent_kafka.Consumer] | None = None

    def look(self) -> list[GroupLag]:
        """Every group as it is now. Raises KafkaException when the brokers cannot be asked."""
        with self._lock:
            return self._look()

    def close(self) -> None:
        """Let the clients go, after the look that is under way. May be called twice."""
        with self._lock:
            if self._clients is not None:
                self._clients[1].close()
                self._clients = None

    def _look(self) -> list[GroupLag]:
        admin, consumer = self._clients = self._clients or self._connect()
        spots = [spot for topic in sorted(set(self._topics.values())) for spot in _spots(admin, topic)]
        earliest, latest = _offsets(admin, spots, _EARLIEST), _offsets(admin, spots, _LATEST)
        found = []
        for group, topic in self._topics.items():
            passed = _committed(admin, group)
            places = [_place(each, passed, earliest, latest) for each in spots if each[0] == topic]
            found.append(GroupLag(name=group, topic=topic, places=_dated(consumer, places)))
        return found

    def _connect(self) -> tuple[AdminClient, confluent_kafka.Consumer]:
        shared = client_settings(self._kafka)
        own: dict[str, Any] = {"group.id": "usercenter-snapshots", "enable.auto.commit": False, **_LITTLE}
        consumer = confluent_kafka.Consumer({**shared, **own, "auto.offset.reset": "earliest"}, logger=client_logger())
        return AdminClient(shared, logger=client_logger()), consumer


def _spots(admin: AdminClient, topic: str) -> list[Spot]:
    metadata = admin.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic]
    if metadata.error is not None:
        raise confluent_kafka.KafkaException(metadata.error)
    return [(topic, partition) for partition in sorted(metadata.partitions)]


def _offsets(admin: AdminClient, spots: Sequence[Spot], spec: OffsetSpec) -> dict[Spot, int]:
    asked = {TopicPartition(topic, number): spec for topic, number in spots}
    futures = admin.list_offsets(asked, request_timeout=_TIMEOUT_SECONDS)
    return {(each.topic, each.partition): future.result().offset for each, future in futures.items()}


def _committed(admin: AdminClient, group: str) -> dict[Spot, int]:
    request = ConsumerGroupTopicPartitions(group)
    result: Any = admin.list_consumer_group_offsets([request], request_timeout=_TIMEOUT_SECONDS)[group].result()
    return {(each.topic, each.partition): each.offset for each in result.topic_partitions if each.offset >= 0}


def _place(spot: Spot, passed: Mapping[Spot, int], earliest: Mapping[Spot, int], latest: Mapping[Spot, int]) -> Place:
    """Without a commit a group reads from the oldest record; what retention has deleted is no lag."""
    begins = max(earliest[spot], passed.get(spot, 0))
    return Place(
        topic=spot[0],
        partition=spot[1],
        committed=passed.get(spot),
        earliest=earliest[spot],
        next=latest[spot],
        lag=max(0, latest[spot] - begins),
    )


def _dated(consumer: confluent_kafka.Consumer, places: Sequence[Place]) -> list[Place]:
    """The same places, those with a lag with the moment of their first unread record."""
    missing = {(each.topic, each.partition): each for each in places if each.lag}
    if not missing:
        return list(places)
    moments: dict[Spot, datetime] = {}
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    consumer.assign([TopicPartition(*spot, max(each.earliest, each.committed or 0)) for spot, each in missing.items()])
    try:
        while len(moments) < len(missing) and time.monotonic() < deadline:
            for message in consumer.consume(100, 0.05):
                if message.error() is None:
                    moments.setdefault((message.topic() or "", message.partition() or 0), _committed_at(message))
    finally:
        consumer.unassign()
    return [
        msgspec.structs.replace(each, oldest_unread_at=moments.get((each.topic, each.partition))) for each in places
    ]


def _committed_at(message: confluent_kafka.Message) -> datetime:
    """The event's own moment; of a record without one, when it was written."""
    try:
        moment = datetime.fromisoformat(received(message).headers["ce_time"])
    except (KeyError, ValueError):
        return datetime.fromtimestamp(max(0, message.timestamp()[1]) / 1_000, UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
