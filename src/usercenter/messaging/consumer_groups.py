"""The consumer groups on the broker: who is in them, how far they are, and how far behind; and where they go on.

Everything here blocks and asks the brokers; call it from a thread, and not for each request (`messaging/snapshots.py`
keeps the last answer).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import confluent_kafka
import msgspec
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from usercenter.config.model import Kafka
from usercenter.messaging.client import client_logger, client_settings

TIMEOUT_SECONDS: Final = 10.0
_EARLIEST: Final[OffsetSpec] = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_HAS_MEMBERS: Final = frozenset(
    {confluent_kafka.KafkaError.UNKNOWN_MEMBER_ID, confluent_kafka.KafkaError.NON_EMPTY_GROUP}
)
_IDLE_STATES: Final = frozenset({"empty", "dead", "unknown"})


class GroupMissing(Exception):
    """The broker knows no group of that name."""


class GroupBusy(Exception):
    """The group has members: its offsets are theirs."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One partition, and how far the group is in it."""

    topic: str
    partition: int
    committed: int | None
    """The offset of the next record to be read; None when nothing was ever committed."""
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


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A partition in which the group is to go on elsewhere."""

    topic: str
    partition: int
    committed: int | None
    to: int


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where a group shall go on: one of the kinds, with the moment, offset or number of records that it needs."""

    kind: Literal["earliest", "latest", "time", "offset", "shift"]
    moment: datetime | None = None
    number: int = 0


def names(kafka: Kafka) -> dict[str, str]:
    """All groups of the broker with their state. Raises KafkaException."""
    admin = _admin(kafka)  # kept until the answer is there: with the client its questions end
    result = admin.list_consumer_groups(request_timeout=TIMEOUT_SECONDS).result()
    for error in result.errors:  # of one broker perhaps; half a list would say that groups are gone
        raise confluent_kafka.KafkaException(error)
    return {each.group_id: _word(each.state) for each in sorted(result.valid, key=lambda each: each.group_id)}


def describe(kafka: Kafka, name: str, *, looks_for_oldest: bool = True) -> ConsumerGroup:
    """One group. Raises GroupMissing, KafkaException.

    `looks_for_oldest`: reads, in each partition with a lag, the first unread record for the moment of its writing.
    """
    admin = _admin(kafka)
    found: Any = admin.describe_consumer_groups([name], request_timeout=TIMEOUT_SECONDS)[name].result()
    members = [_member(each) for each in found.members]
    committed = _committed(admin, name)
    held = {place: member.client_id for member in members for place in member.partitions}
    places = _places(admin, sorted({*committed, *held}), committed, held)
    if _word(found.state) == "dead" and not places:
        raise GroupMissing(f"there is no group {name!r} on {', '.join(kafka.brokers)}: `usercenter groups list`")
    return ConsumerGroup(
        name=name,
        state=_word(found.state),
        protocol=_word(found.type),
        coordinator=f"{found.coordinator.host}:{found.coordinator.port}" if found.coordinator else "",
        members=members,
        places=_with_oldest(kafka, places) if looks_for_oldest else places,
    )


def plan(kafka: Kafka, name: str, start: Start) -> list[Move]:
    """Where each partition would go on; changes nothing. Raises GroupMissing, GroupBusy, KafkaException."""
    group = describe(kafka, name, looks_for_oldest=False)
    if group.state not in _IDLE_STATES:
        clients = ", ".join(sorted({member.client_id for member in group.members})) or "its members"
        raise GroupBusy(
            f"the group {name!r} is {group.state}: stop {clients} first (`usercenter run` with the role worker); "
            "a running group would overwrite what is set here"
        )
    times = _offsets_at(kafka, group.places, start.moment) if start.kind == "time" and start.moment else {}
    return [
        Move(topic=each.topic, partition=each.partition, committed=each.committed, to=_target(each, start, times))
        for each in group.places
    ]


def move(kafka: Kafka, name: str, moves: Sequence[Move]) -> None:
    """Let the group go on there. Raises GroupBusy when somebody has joined meanwhile, KafkaException."""
    offsets = [TopicPartition(each.topic, each.partition, each.to) for each in moves]
    error = _alter(kafka, ConsumerGroupTopicPartitions(name, offsets))
    if error is None:
        return
    if error.code() in _HAS_MEMBERS:
        raise GroupBusy(f"somebody has joined the group {name!r} meanwhile: nothing was changed")
    raise confluent_kafka.KafkaException(error)


def _alter(kafka: Kafka, request: ConsumerGroupTopicPartitions) -> confluent_kafka.KafkaError | None:
    """What the broker said against it: of the whole, or of the first partition that it refused."""
    admin = _admin(kafka)
    result: Any = admin.alter_consumer_group_offsets([request], request_timeout=TIMEOUT_SECONDS)
    try:
        partitions = result[request.group_id].result().topic_partitions
    except confluent_kafka.KafkaException as error:
        refusal: confluent_kafka.KafkaError = error.args[0]
        return refusal
    return next((each.error for each in partitions if each.error is not None), None)


def _target(place: Place, start: Start, times: Mapping[tuple[str, int], int]) -> int:
    wanted = {
        "earliest": place.earliest,
        "latest": place.next,
        "time": times.get((place.topic, place.partition), place.next),
        "offset": start.number,
        "shift": (place.next if place.committed is None else place.committed) + start.number,
    }[start.kind]
    return max(place.earliest, min(place.next, wanted))


def _offsets_at(kafka: Kafka, places: Iterable[Place], moment: datetime) -> dict[tuple[str, int], int]:
    """The first record of each partition written at that moment or later; partitions without one are left out."""
    spec = OffsetSpec.for_timestamp(int(moment.timestamp() * 1000))
    admin = _admin(kafka)
    found = _list_offsets(admin, [(each.topic, each.partition) for each in places], spec)
    return {place: offset for place, offset in found.items() if offset >= 0}


def _places(
    admin: AdminClient,
    partitions: Sequence[tuple[str, int]],
    committed: Mapping[tuple[str, int], int],
    held: Mapping[tuple[str, int], str],
) -> list[Place]:
    earliest = _list_offsets(admin, partitions, _EARLIEST)
    latest = _list_offsets(admin, partitions, _LATEST)
    found = []
    for place in partitions:
        low, high = earliest.get(place, 0), latest.get(place, 0)
        position = committed.get(place)
        found.append(
            Place(
                topic=place[0],
                partition=place[1],
                committed=position,
                earliest=low,
                next=high,
                lag=max(0, high - max(low, position if position is not None else low)),
                member=held.get(place),
            )
        )
    return found


def _committed(admin: AdminClient, name: str) -> dict[tuple[str, int], int]:
    request = ConsumerGroupTopicPartitions(name)
    result: Any = admin.list_consumer_group_offsets([request], request_timeout=TIMEOUT_SECONDS)[name].result()
    return {(each.topic, each.partition): each.offset for each in result.topic_partitions if each.offset >= 0}


def _list_offsets(
    admin: AdminClient, partitions: Sequence[tuple[str, int]], spec: OffsetSpec
) -> dict[tuple[str, int], int]:
    if not partitions:
        return {}
    asked = {TopicPartition(topic, number): spec for topic, number in partitions}
    futures = admin.list_offsets(asked, request_timeout=TIMEOUT_SECONDS)
    return {(each.topic, each.partition): future.result().offset for each, future in futures.items()}


def _with_oldest(kafka: Kafka, places: Sequence[Place]) -> list[Place]:
    """The same places, those with a lag with the moment of their first unread record."""
    behind = [place for place in places if place.lag]
    if not behind:
        return list(places)
    settings = client_settings(kafka) | {"group.id": "usercenter-describe", "enable.auto.commit": False}
    consumer = confluent_kafka.Consumer(settings, logger=client_logger())
    try:
        moments = {(each.topic, each.partition): _written_at(consumer, each) for each in behind}
    finally:
        consumer.close()
    return [
        msgspec.structs.replace(each, oldest_unread_at=moments.get((each.topic, each.partition))) for each in places
    ]


def _written_at(consumer: confluent_kafka.Consumer, place: Place) -> datetime | None:
    """When the first unread record was written: the record's own timestamp; None if it does not come in time."""
    first = max(place.earliest, place.committed or 0)
    consumer.assign([TopicPartition(place.topic, place.partition, first)])
    message = consumer.poll(TIMEOUT_SECONDS)
    if message is None or message.error() is not None:
        return None
    return datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)


def _member(each: Any) -> Member:
    partitions = [(place.topic, place.partition) for place in each.assignment.topic_partitions]
    return Member(id=each.member_id, client_id=each.client_id, host=each.host, partitions=sorted(partitions))


def _word(value: Any) -> str:
    return str(value.name).lower().replace("_", " ") if value is not None else "unknown"


def _admin(kafka: Kafka) -> AdminClient:
    return AdminClient(client_settings(kafka), logger=client_logger())
