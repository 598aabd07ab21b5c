"""What happened to a user, from the event log."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from usercenter.db import Transaction
from usercenter.events.masking import masked_event


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event."""

    sequence: int
    id: UUID
    type: str
    at: datetime
    """When it was kept."""
    event: dict[str, Any]


async def events_of(tx: Transaction, user_id: UUID, *, before: int | None, limit: int) -> list[Entry]:
    """The newest events of a user, or those before a sequence; also those of a deleted user, without personal data."""
    rows = await tx.fetch_all(
        "select sequence, id, type, created_at, payload from event_log "
        "where user_id = %s and sequence < %s order by sequence desc limit %s",
        (user_id, before if before is not None else 2**63 - 1, limit),
    )
    return [Entry(sequence=row[0], id=row[1], type=row[2], at=row[3], event=row[4]) for row in rows]


def masked(entry: Entry) -> Entry:
    """The same without personal data: the names of its fields stay."""
    return msgspec.structs.replace(entry, event=masked_event(entry.event))
