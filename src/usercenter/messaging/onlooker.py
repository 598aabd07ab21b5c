"""Who looks on at the brokers: two clients that are kept, so that no connection is made for a look.

Everything here blocks; call it from a thread.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import confluent_kafka
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from usercenter.config.model import Kafka
from usercenter.messaging.client import client_logger, client_settings

PATIENCE_SECONDS: Final = 3.0
"""For each question of a look that comes again soon."""
EARLIEST: Final[OffsetSpec] = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_LITTLE: Final = {"queued.min.messages": 1, "fetch.message.max.bytes": 65_536, "fetch.wait.max.ms": 100}
"""One record of each partition is wanted, so not much more is fetched."""
_UNSETTLED: Final = {
    confluent_kafka.KafkaError.NOT_LEADER_FOR_PARTITION,
    confluent_kafka.KafkaError.LEADER_NOT_AVAILABLE,
    confluent_kafka.KafkaError.OFFSET_NOT_AVAILABLE,
}
_LEADERS_SETTLE_SECONDS: Final = 1.0
_LOOK_AGAIN_SECONDS: Final = 0.05

Spot = tuple[str, int]
"""Topic and partition."""


class Clients(NamedTuple):
    """One that asks, and one that reads."""

    admin: AdminClient
    consumer: confluent_kafka.Consumer


class Onlooker:
    """The two clients, made when they are first needed."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._lock = threading.Lock()  # a look that nobody waits for any more must end before its clients do
        self._clients: Clients | None = None

    @contextmanager
    def clients(self) -> Iterator[Clients]:
        """The clients, for one look at a time."""
        with self._lock:
            self._clients = self._clients or self._connect()
            yield self._clients

    def close(self) -> None:
        """Let them go, after the look that is under way. May be called twice."""
        with self._lock:
            if self._clients is not None:
                self._clients.consumer.close()
                self._clients = None

    def _connect(self) -> Clients:
        shared = client_settings(self._kafka)
        own: dict[str, Any] = {"group.id": "usercenter-snapshots", "enable.auto.commit": False, **_LITTLE}
        consumer = confluent_kafka.Consumer({**shared, **own, "auto.offset.reset": "earliest"}, logger=client_logger())
        return Clients(AdminClient(shared, logger=client_logger()), consumer)


def list_offsets(
    admin: AdminClient, spots: Sequence[Spot], spec: OffsetSpec, *, timeout_seconds: float = PATIENCE_SECONDS
) -> dict[Spot, int]:
    """The offset that the brokers name for each. Raises KafkaException, for one without a leader too.

    Where a partition has only just been made or moved, a broker may not lead it yet: it is asked again for a second.
    """
    found: dict[Spot, int] = {}
    deadline = time.monotonic() + _LEADERS_SETTLE_SECONDS
    while left := [spot for spot in spots if spot not in found]:
        futures = admin.list_offsets({TopicPartition(*spot): spec for spot in left}, request_timeout=timeout_seconds)
        for each, future in futures.items():
            try:
                found[each.topic, each.partition] = future.result().offset
            except confluent_kafka.KafkaException as error:
                if error.args[0].code() not in _UNSETTLED or time.monotonic() > deadline:
                    raise
        if not found.keys() >= set(spots):
            time.sleep(_LOOK_AGAIN_SECONDS)
    return found


def records_at(
    consumer: confluent_kafka.Consumer, offsets: Mapping[Spot, int], *, timeout_seconds: float = PATIENCE_SECONDS
) -> dict[Spot, confluent_kafka.Message]:
    """The first record of each spot that is there from this offset on; those that do not come in time are left out.

    A spot that the broker refuses to show is not waited for.
    """
    found: dict[Spot, confluent_kafka.Message] = {}
    refused: set[Spot] = set()
    if not offsets:
        return found
    deadline = time.monotonic() + timeout_seconds
    consumer.assign([TopicPartition(*spot, offset) for spot, offset in offsets.items()])
    try:
        while len({*found, *refused}) < len(offsets) and time.monotonic() < deadline:
            for message in consumer.consume(100, 0.05):
                error = message.error()
                if error is None:
                    found.setdefault((message.topic() or "", message.partition() or 0), message)
                elif error.code() == confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    refused |= {spot for spot in offsets if spot[0] == message.topic()}
    finally:
        consumer.unassign()
    return found


def written_at(message: confluent_kafka.Message | None) -> datetime | None:
    """When a record was written: its own timestamp."""
    return None if message is None else datetime.fromtimestamp(max(0, message.timestamp()[1]) / 1_000, UTC)
