"""Where a group goes on to read: said first, changed only while nobody reads.

Everything here blocks and asks the brokers; call it from a thread.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import confluent_kafka
import msgspec
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from usercenter.config.model import Kafka
from usercenter.messaging import commits
from usercenter.messaging.client import client_logger, client_settings
from usercenter.messaging.consumer_groups import TIMEOUT_SECONDS, Place, describe
from usercenter.messaging.onlooker import list_offsets

_HAS_MEMBERS: Final = frozenset(
    {confluent_kafka.KafkaError.UNKNOWN_MEMBER_ID, confluent_kafka.KafkaError.NON_EMPTY_GROUP}
)
_IDLE_STATES: Final = frozenset({"empty", "dead", "unknown"})


class GroupBusy(Exception):
    """The group has members: its offsets are theirs."""


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
    moment = commits.note(datetime.now(UTC))
    offsets = [TopicPartition(each.topic, each.partition, each.to, moment) for each in moves]
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
    spec: OffsetSpec = OffsetSpec.for_timestamp(int(moment.timestamp() * 1000))
    admin = _admin(kafka)
    found = list_offsets(
        admin, [(each.topic, each.partition) for each in places], spec, timeout_seconds=TIMEOUT_SECONDS
    )
    return {place: offset for place, offset in found.items() if offset >= 0}


def _admin(kafka: Kafka) -> AdminClient:
    return AdminClient(client_settings(kafka), logger=client_logger())
