"""What the doctor looks at in PostgreSQL: its clock, who is running, who owns the shards, what has stopped itself."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
import psycopg

from usercenter.db import Database, DatabaseUnavailable, Transaction
from usercenter.messaging import stops
from usercenter.messaging.shards import SHARDS

State = Literal["fine", "wrong", "unreachable", "unknown"]

SKEW_SECONDS: Final = 2.0
"""Clocks that differ by more than this make records and leases look older or newer than they are."""
_ROLES: Final = {"relay": "relay", "tasks": "worker"}


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    state: State
    """`unknown`: it could not be looked at, because something before it is wrong."""
    says: str
    next_step: str | None = None
    """What to do, for all that is not fine."""


def fine(name: str, says: str) -> Check:
    """It is as it should be."""
    return Check(name=name, state="fine", says=says)


def wrong(name: str, says: str, next_step: str) -> Check:
    """It is not."""
    return Check(name=name, state="wrong", says=says, next_step=next_step)


def unreachable(name: str, says: str, next_step: str) -> Check:
    """It does not answer."""
    return Check(name=name, state="unreachable", says=says, next_step=next_step)


def unknown(name: str, says: str, next_step: str) -> Check:
    """Nobody could look."""
    return Check(name=name, state="unknown", says=says, next_step=next_step)


async def look_at_database(database: Database, url: str) -> list[Check]:
    """Whether PostgreSQL answers, and whether its clock is ours."""
    try:
        async with database.transaction() as tx:
            before = datetime.now(UTC)
            row = await tx.fetch_one("select clock_timestamp(), current_setting('server_version')")
            after = datetime.now(UTC)
    except DatabaseUnavailable as error:
        says = await _why_not(url) or str(error)
        return [unreachable("database", says, "start PostgreSQL, or correct `database.url`")]
    theirs, version = row or (before, "")
    return [fine("database", f"PostgreSQL {version}"), clock("clock of the database", theirs, before, after)]


async def _why_not(url: str) -> str:
    """What PostgreSQL, or the way there, has against a connection; a pool says only that it got none."""
    try:
        connection = await psycopg.AsyncConnection.connect(url, connect_timeout=3)
    except psycopg.Error as error:
        return " ".join(str(error).split())
    await connection.close()
    return ""


def clock(name: str, theirs: datetime, before: datetime, after: datetime) -> Check:
    """Their time against ours, which was asked before and after theirs."""
    skew = (theirs - (before + (after - before) / 2)).total_seconds()
    says = f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine"
    if abs(skew) <= SKEW_SECONDS + (after - before).total_seconds() / 2:
        return fine(name, says)
    return wrong(name, says, "let both machines keep their time by NTP: `timedatectl status` on each")


async def look_at_work(tx: Transaction) -> list[Check]:
    """Who is running, who owns the shards, and which groups and handlers have stopped. The schema must be there."""
    return [*await _running(tx), *await _stopped(tx)]


async def _running(tx: Transaction) -> list[Check]:
    rows = await tx.fetch_all(_OWNERS, {"kinds": list(_ROLES)})
    return [check for kind, owners, owned, shards in rows for check in _of_kind(kind, owners, owned, shards)]


def _of_kind(kind: str, owners: int, owned: int, shards: int) -> Sequence[Check]:
    role = _ROLES[kind]
    if not owners:
        return [wrong(f"role {role}", "no process with it is running", f"usercenter run --roles {role}")]
    running = fine(f"role {role}", f"{owners} {'processes' if owners > 1 else 'process'} running")
    if owned < max(shards, SHARDS):
        free = max(shards, SHARDS) - owned
        says = f"{free} of {SHARDS} shards have no living owner"
        return [running, wrong(f"leases of {kind}", says, "they are taken within seconds: look again, then at its log")]
    return [running, fine(f"leases of {kind}", f"{owned} shards, all with a living owner")]


async def _stopped(tx: Transaction) -> list[Check]:
    found = await stops.everything(tx)
    if not found:
        return [fine("stops", "no group or handler has stopped itself")]
    return [
        wrong(
            f"stop of {each.name}",
            f"stopped since {each.stopped_at:%Y-%m-%d %H:%M:%S}, because {each.reason}",
            f"mend it, then `usercenter groups resume {each.name}`",
        )
        for each in found
    ]


_OWNERS: Final = """
select k.kind,
    (select count(*) from lease_owners o where o.kind = k.kind
        and o.expires_at between clock_timestamp() and clock_timestamp() + interval '10 minutes'),
    (select count(*) from leases l join lease_owners o on o.kind = l.kind and o.owner = l.owner
        and o.expires_at between clock_timestamp() and clock_timestamp() + interval '10 minutes' where l.kind = k.kind),
    (select count(*) from leases l where l.kind = k.kind)
from unnest(%(kinds)s::text[]) with ordinality as k (kind, n) order by k.n
"""
