"""The consumer groups on the broker: who is in them, how far they are, and how far behind.

Everything here blocks and asks the brokers; call it from a thread, and not for each request (`messaging/overviews.py`
keeps the last answer).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import confluent_kafka
import msgspec
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from usercenter.config.model import Kafka
from usercenter.messaging import commits
from usercenter.messaging.client import client_logger, client_settings
from usercenter.messaging.onlooker import EARLIEST, LATEST, Spot, list_offsets, records_at, written_at

TIMEOUT_SECONDS: Final = 10.0


class GroupMissing(Exception):
    """The broker knows no group of that name."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One partition, and how far the group is in it."""

    topic: str
    partition: int
    committed: int | None
    """The offset of the next record to be read; None when nothing was ever committed."""
    committed_at: datetime | None = None
    """When that was, as our consumers note it beside the offset; None for the groups of others."""
    earliest: int
    next: int
    """Where the next record will be written."""
    lag: int
    """Records that are there and not yet committed as read."""
    oldest_unread_at: datetime | None = None
    """When the first of them was written; None where there is none, or where nobody looked."""
    member: str | None = None
    """The client that reads it."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A client in the group."""

    id: str
    client_id: str
    host: str
    partitions: list[tuple[str, int]]


class ConsumerGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group as the broker describes it."""

    name: str
    state: str
    protocol: str
    coordinator: str
    members: list[Member]
    places: list[Place]

    @property
    def lag(self) -> int:
        """Records that the group has not read."""
        return sum(place.lag for place in self.places)

    @property
    def oldest_unread_at(self) -> datetime | None:
        """When the first record was written that the group has not read."""
        return min((place.oldest_unread_at for place in self.places if place.oldest_unread_at), default=None)

    @property
    def committed_at(self) -> datetime | None:
        """When it has last committed anything."""
        return max((place.committed_at for place in self.places if place.committed_at), default=None)


def names(kafka: Kafka) -> dict[str, str]:
    """All groups of the broker with their state. Raises KafkaException."""
    admin = _admin(kafka)  # kept until the answer is there: with the client its questions end
    return listed(admin, timeout_seconds=TIMEOUT_SECONDS)


def listed(admin: AdminClient, *, timeout_seconds: float) -> dict[str, str]:
    """As `names`, asked with this client."""
    result = admin.list_consumer_groups(request_timeout=timeout_seconds).result()
    for error in result.errors:  # of one broker perhaps; half a list would say that groups are gone
        raise confluent_kafka.KafkaException(error)
    return {each.group_id: _word(each.state) for each in sorted(result.valid, key=lambda each: each.group_id)}


def describe(kafka: Kafka, name: str, *, looks_for_oldest: bool = True) -> ConsumerGroup:
    """One group. Raises GroupMissing, KafkaException.

    `looks_for_oldest`: reads, in each partition with a lag, the first unread record for the moment of its writing.
    """
    admin = _admin(kafka)
    (group,) = described(admin, [name], timeout_seconds=TIMEOUT_SECONDS)
    if group.state == "dead" and not group.places:
        raise GroupMissing(f"there is no group {name!r} on {', '.join(kafka.brokers)}: `usercenter groups list`")
    return _with_oldest(kafka, group) if looks_for_oldest else group


def described(admin: AdminClient, names: Sequence[str], *, timeout_seconds: float) -> list[ConsumerGroup]:
    """These groups, with a few questions for all of them; not since when they are behind. Raises KafkaException."""
    answers: Any = admin.describe_consumer_groups(list(names), request_timeout=timeout_seconds)
    asked = [_ask_committed(admin, name, timeout_seconds) for name in names]
    found = [answers[name].result() for name in names]
    committed = [_committed(each.result()) for each in asked]
    members = [[_member(each) for each in group.members] for group in found]
    spots = {spot for passed in committed for spot in passed}
    spots |= {spot for group in members for member in group for spot in member.partitions}
    earliest = list_offsets(admin, sorted(spots), EARLIEST, timeout_seconds=timeout_seconds)
    latest = list_offsets(admin, sorted(spots), LATEST, timeout_seconds=timeout_seconds)
    return [
        ConsumerGroup(
            name=name,
            state=_word(group.state),
            protocol=_word(group.type),
            coordinator=f"{group.coordinator.host}:{group.coordinator.port}" if group.coordinator else "",
            members=inside,
            places=_places(inside, passed, earliest, latest),
        )
        for name, group, inside, passed in zip(names, found, members, committed, strict=True)
    ]


def dated(consumer: confluent_kafka.Consumer, group: ConsumerGroup, *, timeout_seconds: float) -> ConsumerGroup:
    """The same group, with the moment at which the first unread record of each partition was written, if it comes."""
    firsts = {
        (each.topic, each.partition): max(each.earliest, each.committed or 0) for each in group.places if each.lag
    }
    found = records_at(consumer, firsts, timeout_seconds=timeout_seconds)
    places = [
        msgspec.structs.replace(each, oldest_unread_at=written_at(found.get((each.topic, each.partition))))
        for each in group.places
    ]
    return msgspec.structs.replace(group, places=places)


def _ask_committed(admin: AdminClient, name: str, timeout_seconds: float) -> Any:
    return admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)], request_timeout=timeout_seconds)[
        name
    ]


class _Commit(NamedTuple):
    offset: int
    at: datetime | None


def _committed(answer: Any) -> dict[Spot, _Commit]:
    return {
        (each.topic, each.partition): _Commit(each.offset, commits.moment_of(each.metadata))
        for each in answer.topic_partitions
        if each.offset >= 0
    }


def _places(
    members: Sequence[Member],
    committed: Mapping[Spot, _Commit],
    earliest: Mapping[Spot, int],
    latest: Mapping[Spot, int],
) -> list[Place]:
    held = {spot: member.client_id for member in members for spot in member.partitions}
    found = []
    for spot in sorted({*committed, *held}):
        low, high, last = earliest[spot], latest[spot], committed.get(spot)
        found.append(
            Place(
                topic=spot[0],
                partition=spot[1],
                committed=last.offset if last else None,
                committed_at=last.at if last else None,
                earliest=low,
                next=high,
                lag=max(0, high - max(low, last.offset if last else low)),
                member=held.get(spot),
            )
        )
    return found


def _with_oldest(kafka: Kafka, group: ConsumerGroup) -> ConsumerGroup:
    if not group.lag:
        return group
    settings = client_settings(kafka) | {"group.id": "usercenter-describe", "enable.auto.commit": False}
    consumer = confluent_kafka.Consumer(settings, logger=client_logger())
    try:
        return dated(consumer, group, timeout_seconds=TIMEOUT_SECONDS)
    finally:
        consumer.close()


def _member(each: Any) -> Member:
    partitions = [(place.topic, place.partition) for place in each.assignment.topic_partitions]
    return Member(id=each.member_id, client_id=each.client_id, host=each.host, partitions=sorted(partitions))


def _word(value: Any) -> str:
    return str(value.name).lower().replace("_", " ") if value is not None else "unknown"


def _admin(kafka: Kafka) -> AdminClient:
    return AdminClient(client_settings(kafka), logger=client_logger())
