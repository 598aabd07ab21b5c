"""The security log of a user, read; the handlers of the events write it."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from usercenter.db import Transaction


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log."""

    event_id: UUID
    happened_at: datetime
    kind: str
    ip_address: str | None
    details: dict[str, Any]


async def page_of(tx: Transaction, user_id: UUID, *, before: tuple[datetime, UUID] | None, limit: int) -> list[Entry]:
    """The newest entries, or those older than the position `before` (moment, event id)."""
    moment, event_id = before or (None, None)
    rows = await tx.fetch_all(
        "select event_id, happened_at, kind, ip_address, details from security_log "
        "where user_id = %(user)s "
        "and (%(at)s::timestamptz is null or (happened_at, event_id) < (%(at)s, %(id)s::uuid)) "
        "order by happened_at desc, event_id desc limit %(limit)s",
        {"user": user_id, "at": moment, "id": event_id, "limit": limit},
    )
    return [Entry(**dict(zip(Entry.__struct_fields__, row, strict=True))) for row in rows]
