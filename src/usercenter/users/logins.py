"""What the database keeps of logins and of failed ones."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from usercenter.db import Transaction
from usercenter.users.anomalies import WINDOW, Finding

_REMEMBERED: Final = 100
"""How many of a user's latest logins a new one is compared with."""
_LONGEST_ADDRESS: Final = 64
_COUNTED: Final = 1_000
"""An address with more failures than this within the window is not counted any further."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the login log."""

    event_id: UUID
    logged_in_at: datetime
    ip_address: str | None
    device: str | None
    country: str | None
    verdict: str
    score: float
    reasons: list[Finding]


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """Logins of one user from one address with one device and verdict."""

    user_id: UUID
    ip_address: str | None
    device: str | None
    """In words, as the log has it (`devices.kind_of`)."""
    verdict: str
    since: datetime
    last: datetime


_ENTRY: Final = ("event_id", "logged_in_at", "ip_address", "device", "country", "verdict", "score", "reasons")


async def forget_failures(tx: Transaction, *, hours: int, at_most: int) -> int:
    """Delete the oldest failures that are older than this; returns how many. Does not commit."""
    cursor = await tx.execute(
        "delete from login_failures where id in (select id from login_failures "
        "where failed_at < now() - make_interval(hours => %s) order by failed_at limit %s)",
        (hours, at_most),
    )
    return cursor.rowcount


async def forget_logins(tx: Transaction, *, days: int, at_most: int) -> int:
    """Delete the oldest lines of the login log that are older than this; returns how many. Does not commit."""
    cursor = await tx.execute(
        "delete from login_log where event_id in (select event_id from login_log "
        "where logged_in_at < now() - make_interval(days => %s) order by logged_in_at limit %s)",
        (days, at_most),
    )
    return cursor.rowcount


async def earlier_logins(tx: Transaction, user_ids: Sequence[UUID]) -> list[Earlier]:
    """The latest logins of these users, those that are alike as one.

    One statement, and all that it asks for is in the index `login_log_history`: a user's logins lie far apart in the
    table, for others logged in between.
    """
    rows = await tx.fetch_all(
        """
        select u.user_id, l.ip_address, l.device, l.verdict, min(l.logged_in_at), max(l.logged_in_at)
        from unnest(%b::uuid[]) as u (user_id) cross join lateral (
            select ip_address, device, verdict, logged_in_at from login_log
            where user_id = u.user_id order by logged_in_at desc limit %s
        ) l group by 1, 2, 3, 4
        """,
        (list(set(user_ids)), _REMEMBERED),
    )
    return [Earlier(**dict(zip(Earlier.__struct_fields__, row, strict=True))) for row in rows]


async def failures_before(
    tx: Transaction, logins: Sequence[tuple[UUID, UUID, str | None, datetime]]
) -> dict[UUID, tuple[int, int]]:
    """For each login (event id, user, address, moment): wrong passwords for the user, accounts tried by the address.

    Both within the window before the login; names without an account count as one account. One statement.
    """
    ids, users, addresses, moments = (list(column) for column in zip(*logins, strict=True))
    rows = await tx.fetch_all(
        """
        select e.id,
            (select count(*) from (
                select from login_failures f where f.user_id = e.user_id
                    and f.failed_at > e.at - %(window)s and f.failed_at <= e.at limit %(most)s) as own),
            (select count(distinct coalesce(user_id, '00000000-0000-0000-0000-000000000000')) from (
                select f.user_id from login_failures f where f.ip_address = e.ip_address
                    and f.failed_at > e.at - %(window)s and f.failed_at <= e.at limit %(most)s) as tried)
        from unnest(%(ids)b::uuid[], %(users)b::uuid[], %(addresses)b::text[], %(moments)b::timestamptz[])
            as e (id, user_id, ip_address, at)
        """,
        {
            "window": WINDOW,
            "most": _COUNTED,
            "ids": ids,
            "users": users,
            "addresses": addresses,
            "moments": moments,
        },
    )
    return {row[0]: (row[1], row[2]) for row in rows}


async def append(tx: Transaction, lines: Sequence[tuple[UUID, str | None, Entry]]) -> set[UUID]:
    """Write lines (user id, user agent, entry) into the log; returns the event ids of those that were not there yet.

    What is longer than any address is no address, whoever wrote the event, and is cut: it stands in an index.
    """
    rows = [
        (
            entry.event_id,
            user_id,
            entry.logged_in_at,
            entry.ip_address and entry.ip_address[:_LONGEST_ADDRESS],
            user_agent,
            entry.device,
            entry.country,
            entry.verdict,
            entry.score,
            msgspec.json.encode(entry.reasons).decode(),
        )
        for user_id, user_agent, entry in lines
    ]
    new = await tx.fetch_all(
        "insert into login_log (event_id, user_id, logged_in_at, ip_address, user_agent, device, country, verdict, "
        "score, reasons) select a, b, c, d, e, f, g, h, i, j::json from unnest(%b::uuid[], %b::uuid[], "
        "%b::timestamptz[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::real[], %b::text[]) "
        "as line (a, b, c, d, e, f, g, h, i, j) on conflict do nothing returning event_id",
        [list(column) for column in zip(*rows, strict=True)],
    )
    return {row[0] for row in new}


async def mark_sessions(tx: Transaction, sessions: Sequence[tuple[UUID, UUID]]) -> None:
    """Mark these sessions (user id, session id) as suspicious. May be called twice."""
    await tx.send(
        "update sessions set is_suspicious = true from unnest(%b::uuid[], %b::uuid[]) as s (user_id, session_id) "
        "where sessions.id = s.session_id and sessions.user_id = s.user_id",
        ([user_id for user_id, _ in sessions], [session_id for _, session_id in sessions]),
    )


async def page_of(tx: Transaction, user_id: UUID, *, before: tuple[datetime, UUID] | None, limit: int) -> list[Entry]:
    """Lines of a user's login log, newest first, that are older than `before` (moment and event id of a line)."""
    moment, event_id = before or (None, None)
    rows = await tx.fetch_all(
        "select event_id, logged_in_at, ip_address, device, country, verdict, score, reasons from login_log "
        "where user_id = %(user)s "
        "and (%(at)s::timestamptz is null or (logged_in_at, event_id) < (%(at)s, %(id)s::uuid)) "
        "order by logged_in_at desc, event_id desc limit %(limit)s",
        {"user": user_id, "at": moment, "id": event_id, "limit": limit},
    )
    return [_entry(row) for row in rows]


def _entry(row: tuple[Any, ...]) -> Entry:
    return msgspec.convert(dict(zip(_ENTRY, row, strict=True)), Entry)
