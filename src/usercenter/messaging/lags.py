"""How far groups are behind, asked of the brokers with clients that are kept.

Everything here blocks; call it from a thread.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import confluent_kafka
import msgspec
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from usercenter.config.model import Kafka
from usercenter.messaging.client import client_logger, client_settings
from usercenter.messaging.consumer_groups import Place
from usercenter.messaging.incoming import received
from usercenter.messaging.onlooker import (
    EARLIEST,
    LATEST,
    PATIENCE_SECONDS,
    Clients,
    Onlooker,
    Spot,
    list_offsets,
    records_at,
    written_at,
)


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
    """Looks at the groups again and again."""

    def __init__(self, kafka: Kafka, topics: Mapping[str, str]) -> None:
        """`topics`: by group."""
        self._topics = topics
        self._kafka = kafka
        self._onlooker = Onlooker(kafka)
        self._askers: dict[str, confluent_kafka.Consumer] = {}
        """By group; never members of it. An admin client's own way to ask for a group may abort the whole process, see
        `messaging/cluster.py`."""

    def look(self) -> list[GroupLag]:
        """Every group as it is now. Raises KafkaException when the brokers cannot be asked."""
        with self._onlooker.clients() as clients:
            return self._look(clients)

    def close(self) -> None:
        """Let the clients go, after the look that is under way. May be called twice."""
        self._onlooker.close()
        while self._askers:
            self._askers.popitem()[1].close()

    def _look(self, clients: Clients) -> list[GroupLag]:
        admin, consumer = clients
        spots = [spot for topic in sorted(set(self._topics.values())) for spot in _spots(admin, topic)]
        earliest, latest = list_offsets(admin, spots, EARLIEST), list_offsets(admin, spots, LATEST)
        found = []
        for group, topic in self._topics.items():
            read = [spot for spot in spots if spot[0] == topic]
            passed = self._committed(group, read)
            places = [_place(spot, passed, earliest, latest) for spot in read]
            found.append(GroupLag(name=group, topic=topic, places=_dated(consumer, places)))
        return found

    def _committed(self, group: str, spots: Sequence[Spot]) -> dict[Spot, int]:
        if group not in self._askers:
            own = {"group.id": group, "enable.auto.commit": False}
            self._askers[group] = confluent_kafka.Consumer(client_settings(self._kafka) | own, logger=client_logger())
        asked = [TopicPartition(*spot) for spot in spots]
        answers = self._askers[group].committed(asked, timeout=PATIENCE_SECONDS)
        if wrong := next((each.error for each in answers if each.error is not None), None):
            raise confluent_kafka.KafkaException(wrong)
        return {(each.topic, each.partition): each.offset for each in answers if each.offset >= 0}


def _spots(admin: AdminClient, topic: str) -> list[Spot]:
    metadata = admin.list_topics(topic, timeout=PATIENCE_SECONDS).topics[topic]
    if metadata.error is not None:
        raise confluent_kafka.KafkaException(metadata.error)
    return [(topic, partition) for partition in sorted(metadata.partitions)]


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
    missing = {(each.topic, each.partition): max(each.earliest, each.committed or 0) for each in places if each.lag}
    found = records_at(consumer, missing)
    moments = {spot: _committed_at(message) for spot, message in found.items()}
    return [
        msgspec.structs.replace(each, oldest_unread_at=moments.get((each.topic, each.partition))) for each in places
    ]


def _committed_at(message: confluent_kafka.Message) -> datetime | None:
    """The event's own moment; of a record without one, when it was written."""
    try:
        moment = datetime.fromisoformat(received(message).headers["ce_time"])
    except (KeyError, ValueError):
        return written_at(message)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
