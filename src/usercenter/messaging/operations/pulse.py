"""How work flows right now, from PostgreSQL alone: what lies where, how old it is, and what has passed so far."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from psycopg.errors import QueryCanceled

from usercenter.db import Transaction
from usercenter.events.envelope import type_of
from usercenter.messaging import open_breakers, snapshots, stops
from usercenter.messaging.groups import Group
from usercenter.messaging.lags import GroupLag
from usercenter.messaging.open_breakers import Told
from usercenter.messaging.operations.books import LOGGED_STREAM

_PATIENCE_MS: Final = 400
_LAGS_SECONDS: Final = 60.0
"""Workers look every five; what is older says nothing about now."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """The unfinished work of one handler."""

    handler: str
    waiting: int
    parked: int
    trying: int
    dead: int
    """Open dead letters."""
    oldest_at: datetime | None
    """When the oldest event happened whose work is not done; dead letters do not count."""
    next_at: datetime | None


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """How far a group is behind the events that are committed."""

    group: str
    seconds: float | None
    """The age of the oldest committed event that it has not handled; None where nobody knows.

    Of groups that read what is not in the event log: the age of the oldest record that it had not read at `lags_at`.
    """
    lag: int | None
    """Records on Kafka that it had not handled at `lags_at`."""


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """One look."""

    at: datetime
    outbox: int
    outbox_seconds: float
    """The age of the oldest message in it."""
    tasks: int
    dead: int
    processes: dict[str, int]
    """Living owners by kind of lease."""
    passed: dict[str, int]
    """Since PostgreSQL counts: events committed, messages sent, events handled, tasks begun and ended, letters."""
    behind: list[Behind]
    lags_at: datetime | None
    """When a worker last asked the brokers how far the groups are; None where none has lately."""
    work: list[Work]
    stops: list[tuple[str, str]]
    breakers: list[Told]
    """Of the processes that have open ones."""


async def look(tx: Transaction, groups: Sequence[Group]) -> Pulse:
    """Look once; cheap enough for every second. Counts of what has passed lag a second behind."""
    row: Any = await tx.fetch_one(_LEVELS)
    lags_at, lags = await _lags(tx)
    work = [Work(**dict(zip(Work.__struct_fields__, each, strict=True))) for each in await tx.fetch_all(_WORK)]
    return Pulse(
        at=row[0],
        outbox=row[1],
        outbox_seconds=row[2],
        tasks=sum(each.waiting + each.parked + each.trying for each in work),
        dead=sum(each.dead for each in work),
        processes=dict(await tx.fetch_all(_PROCESSES)),
        passed=dict(zip(PASSED, row[3:], strict=True)),
        behind=[await _behind(tx, group, lags_at, lags.get(group.name)) for group in groups],
        lags_at=lags_at,
        work=work,
        stops=[(each.name, each.reason) for each in await stops.everything(tx)],
        breakers=await open_breakers.everywhere(tx),
    )


def rates(before: Pulse | None, now: Pulse) -> dict[str, float | None]:
    """What has passed a second between two looks; None where nobody knows yet."""
    seconds = (now.at - before.at).total_seconds() if before else 0.0
    if before is None or seconds <= 0:
        return dict.fromkeys(PASSED)
    return {name: max(0, now.passed[name] - before.passed[name]) / seconds for name in PASSED}


async def _lags(tx: Transaction) -> tuple[datetime | None, dict[str, GroupLag]]:
    """What the last look of a worker that reached the brokers saw, if it is not long ago; its moment first."""
    seen = [each for each in await snapshots.recent(tx, seconds=_LAGS_SECONDS) if each.groups is not None]
    if not seen:
        return None, {}
    return seen[-1].taken_at, {each.name: each for each in seen[-1].groups or ()}


async def _behind(tx: Transaction, group: Group, at: datetime | None, lag: GroupLag | None) -> Behind:
    records = lag.lag if lag else None
    known = await _unhandled_seconds(tx, group) if group.stream == LOGGED_STREAM else None
    return Behind(group=group.name, seconds=_unread_seconds(at, lag) if known is None else known, lag=records)


async def _unhandled_seconds(tx: Transaction, group: Group) -> float | None:
    """By the event log; None where that took too long to find out."""
    facts = {"group": group.name, "types": [type_of(each) for each in group.handlers]}
    try:
        async with tx.savepoint():
            await tx.execute(f"set local statement_timeout = {_PATIENCE_MS}")
            row = await tx.fetch_one(_BEHIND, facts)
            await tx.execute("set local statement_timeout = default")
    except QueryCanceled:
        return None
    return row[0] if row else 0.0


def _unread_seconds(at: datetime | None, lag: GroupLag | None) -> float | None:
    """By a look at Kafka, as of then; None without one, or where the oldest record could not be read."""
    if at is None or lag is None:
        return None
    if not lag.lag:
        return 0.0
    return max(0.0, (at - lag.oldest_unread_at).total_seconds()) if lag.oldest_unread_at else None


PASSED: Final = ("committed", "sent", "handled", "begun", "ended", "died")

_LEVELS: Final = """
with passed as (select relname, n_tup_ins, n_tup_del from pg_stat_user_tables where schemaname = current_schema())
select clock_timestamp(), (select count(*) from outbox),
    (select coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float from outbox),
    (select n_tup_ins from passed where relname = 'event_log'),
    (select n_tup_del from passed where relname = 'outbox'),
    (select n_tup_ins from passed where relname = 'inbox'),
    (select n_tup_ins from passed where relname = 'tasks'),
    (select n_tup_del from passed where relname = 'tasks'),
    (select n_tup_ins from passed where relname = 'dead_letters')
"""

_WORK: Final = """
with unfinished as (
    select split_part(handler, '/', 1) as handler,
        count(*) filter (where last_error is null and next_attempt_at <= now() and attempts <= ended) as waiting,
        count(*) filter (where attempts <= ended and (last_error is not null or next_attempt_at > now())) as parked,
        count(*) filter (where attempts > ended) as trying,
        min(occurred_at) as oldest_at, min(next_attempt_at) filter (where next_attempt_at > now()) as next_at
    from tasks group by 1
), dead as (
    select split_part(handler, '/', 1) as handler, count(*) as dead from dead_letters
    where settled_at is null group by 1
)
select handler, coalesce(waiting, 0), coalesce(parked, 0), coalesce(trying, 0), coalesce(dead, 0), oldest_at, next_at
from unfinished full join dead using (handler) order by oldest_at nulls last, handler
"""

_PROCESSES: Final = """
select kind, count(*) from lease_owners
where expires_at between clock_timestamp() and clock_timestamp() + interval '10 minutes' group by kind
"""

_BEHIND: Final = """
select coalesce(extract(epoch from clock_timestamp() - min(e.created_at)), 0)::float from event_log e
where e.type = any(%(types)s)
    and e.created_at > (select greatest(min(pinned_at), now() - interval '1 hour') from group_starts
        where group_name = %(group)s)
    and not exists (select 1 from inbox i where i.group_name = %(group)s and i.event_id = e.id)
"""
"""Within an hour: what is older is for `usercenter verify`."""
