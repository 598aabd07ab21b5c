"""Looks that one process of many takes now and then, and what was seen: rows of the table `snapshots`.

A row is claimed before the look begins, so its age says whose turn it is; a process that dies in its turn holds up
nobody for longer than one.
"""

from datetime import datetime
from typing import Final

from usercenter.db import Transaction

_MARGIN: Final = 0.9
"""Who looks every five seconds wakes a little early or late."""


async def claim(tx: Transaction, kind: str, *, every_seconds: float) -> datetime | None:
    """Take the turn if the last look of this kind is old enough; returns its moment, or None. Does not commit."""
    row = await tx.fetch_one(_LOCK, (f"snapshots {kind}",))
    if row is None or not row[0]:
        return None
    row = await tx.fetch_one(_CLAIM, {"kind": kind, "seconds": every_seconds * _MARGIN})
    return row[0] if row else None


async def keep(tx: Transaction, kind: str, moment: datetime, body: bytes, *, kept_seconds: float) -> None:
    """Write down what was seen, as JSON, and forget what is older than that. Does not commit."""
    await tx.execute(_FILL, (body.decode(), kind, moment))
    await tx.execute(_FORGET, (kind, kept_seconds))


async def note(tx: Transaction, kind: str, body: bytes, *, kept_seconds: float) -> None:
    """Write down what only this process can see: nobody's turn. Forgets what is older than that. Does not commit."""
    await tx.execute(_NOTE, (kind, body.decode()))
    await tx.execute(_FORGET, (kind, kept_seconds))


async def seen(tx: Transaction, kind: str, *, seconds: float) -> list[str]:
    """What was seen in the last seconds, the oldest one first."""
    return [row[0] for row in await tx.fetch_all(_SEEN, (kind, seconds))]


_LOCK: Final = "select pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
_CLAIM: Final = """
insert into snapshots (kind, taken_at) select %(kind)s, clock_timestamp()
where not exists (
    select from snapshots where kind = %(kind)s and taken_at > clock_timestamp() - make_interval(secs => %(seconds)s)
) returning taken_at
"""
_FILL: Final = "update snapshots set body = %s where kind = %s and taken_at = %s"
_NOTE: Final = """
insert into snapshots (kind, taken_at, body) values (%s, clock_timestamp(), %s) on conflict do nothing
"""
_FORGET: Final = "delete from snapshots where kind = %s and taken_at < clock_timestamp() - make_interval(secs => %s)"
_SEEN: Final = """
select body::text from snapshots
where kind = %s and body is not null and taken_at >= clock_timestamp() - make_interval(secs => %s) order by taken_at
"""
