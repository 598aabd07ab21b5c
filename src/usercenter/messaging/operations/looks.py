"""Reading topics into the temporary table `verify_records`, as far as a check needs them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from usercenter.config.model import Kafka
from usercenter.db import Transaction
from usercenter.events import USER_EVENTS, Event, Registry
from usercenter.events.envelope import SOURCE
from usercenter.messaging.batch import read
from usercenter.messaging.operations.books import Ledger
from usercenter.messaging.operations.positions import Bounds
from usercenter.messaging.operations.records import Dated, Span, records

_COLUMNS: Final = "kafka_partition, kafka_offset, event_id, user_id, sequence, is_ours, is_passed, is_old, written_at"


async def look(
    tx: Transaction,
    kafka: Kafka,
    ledger: Ledger,
    registry: Registry,
    *,
    starts: Mapping[int, int],
    ends: Mapping[int, Bounds],
    passed: Mapping[int, int],
) -> None:
    """Put every event between these offsets that concerns the group into the emptied table.

    `passed` says how far the group has come. Messages that nobody can read are kept under the id that the inbox gives
    them. Raises KafkaException.
    """
    await tx.execute("truncate verify_records")
    spans = {partition: Span(starts.get(partition, each.low), each.high) for partition, each in ends.items()}
    async with tx.connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(_TYPES)
        async for batch in records(kafka, ledger.topic, spans):
            for row in _rows(batch, registry, ledger, passed):
                await copy.write_row(row)


def _rows(
    batch: Sequence[Dated], registry: Registry, ledger: Ledger, passed: Mapping[int, int]
) -> list[tuple[Any, ...]]:
    """One row for each record that the group must have in its inbox."""
    moments = {(each.message.partition, each.message.offset): each.at for each in batch}
    found = read([each.message for each in batch], registry)
    types = set(ledger.types)
    events = [(item.message, item.event.id, item.event) for item in found.items if item.event.type in types]
    broken = [(each.message, each.message.fallback_id, None) for each in found.broken]
    rows = []
    for message, event_id, event in [*events, *broken]:
        is_passed = message.offset < passed.get(message.partition, 0)
        at = moments[message.partition, message.offset]
        rows.append((message.partition, message.offset, *_about(event_id, event), is_passed, at < ledger.since, at))
    return rows


def _about(event_id: UUID, event: Event | None) -> tuple[UUID, UUID | None, int | None, bool]:
    """Its id, user and sequence, and whether event_log must have it."""
    if event is None:
        return event_id, None, None, False
    return event_id, event.user_id, event.sequence, _is_ours(event)


def _is_ours(event: Event) -> bool:
    """Whether event_log must have it: what we publish with a sequence, and our six types in any case."""
    return event.source == SOURCE and (event.sequence is not None or isinstance(event, USER_EVENTS))


_COPY: Final = f"copy verify_records ({_COLUMNS}) from stdin"
_TYPES: Final = ["int4", "int8", "uuid", "uuid", "int8", "bool", "bool", "bool", "timestamptz"]
