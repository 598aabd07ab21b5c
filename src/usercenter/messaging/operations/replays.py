"""The replays: how far each is, who is at it, and what its next events are. The rows and the statements."""

from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from usercenter.db import Transaction
from usercenter.messaging.operations import audit
from usercenter.messaging.operations.audit import State

STALE_SECONDS: Final = 15
"""After so long without a sign of life another process may go on with a replay."""


class ReplayUnknown(Exception):
    """There is no replay of that id."""


class ReplayBusy(Exception):
    """Another process is at this replay, or it has ended."""


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """How far one replay is."""

    id: UUID
    group: str
    handlers: list[str]
    is_missing: bool
    rate: int | None
    total: int
    position: int
    """So many of the events are behind it: done, failed or skipped."""
    done: int
    failed: int
    """Events of which a handler failed: parked in its lane, or a dead letter."""
    skipped: int
    """Events without any effect: erased, unreadable, or handled by the group meanwhile."""
    state: State
    by: str


class Next(NamedTuple):
    """An event whose turn it is."""

    n: int
    event_id: UUID
    user_id: UUID
    payload: bytes


class Counts(NamedTuple):
    """What one batch came to."""

    position: int
    done: int
    failed: int
    skipped: int


async def find(tx: Transaction, id_: UUID) -> Replay:
    """One replay. Raises ReplayUnknown."""
    row = await tx.fetch_one(_REPLAYS + "where r.operation_id = %(id)s", {"id": id_})
    if row is None:
        raise ReplayUnknown(f"there is no replay {id_}: `usercenter replay status` lists them")
    return _replay(row)


async def latest(tx: Transaction, *, limit: int = 20) -> list[Replay]:
    """The latest replays, the newest first."""
    rows = await tx.fetch_all(_REPLAYS + "order by o.started_at desc limit %(limit)s", {"limit": limit})
    return [_replay(row) for row in rows]


async def take(tx: Transaction, id_: UUID, *, owner: UUID) -> Replay:
    """Become the one who is at it, from where it stands. Does not commit.

    Raises ReplayBusy when it has ended or another process gave a sign of life just now, and ReplayUnknown.
    """
    replay = await find(tx, id_)
    if replay.state not in {"running", "paused"}:
        raise ReplayBusy(f"replay {id_} is {replay.state}: begin a new one")
    if (await tx.execute(_TAKE, {"id": id_, "owner": owner, "stale": STALE_SECONDS})).rowcount != 1:
        raise ReplayBusy(
            f"another process is at replay {id_}: `usercenter replay pause {id_}` stops it; "
            f"one that was killed lets go after {STALE_SECONDS} seconds"
        )
    await tx.execute("update operations set state = 'running', updated_at = now() where id = %s", (id_,))
    return replay


async def still_mine(tx: Transaction, id_: UUID, *, owner: UUID) -> Replay | None:
    """Where it stands, locked until the end of the transaction; None when it was paused or taken by another."""
    row = await tx.fetch_one(
        "select owner from replays where operation_id = %s for update", (id_,)
    )  # the state is read after the lock is held
    replay = await find(tx, id_)
    return replay if row is not None and row[0] == owner and replay.state == "running" else None


async def next_events(tx: Transaction, replay: Replay, *, limit: int) -> list[Next]:
    """The events whose turn it is, in order."""
    rows = await tx.fetch_all(_NEXT, {"id": replay.id, "position": replay.position, "limit": limit})
    return [Next(row[0], row[1], row[2], row[3].encode()) for row in rows]


async def advance(tx: Transaction, replay: Replay, counts: Counts) -> Replay:
    """Note what a batch came to, with a sign of life, in the batch's own transaction. Does not commit."""
    await tx.execute(_ADVANCE, counts._asdict() | {"id": replay.id})
    found = await find(tx, replay.id)
    await audit.progress(tx, replay.id, {"done": found.done, "failed": found.failed, "skipped": found.skipped})
    return found


async def end(tx: Transaction, id_: UUID) -> None:
    """It is done. Does not commit."""
    await tx.execute("delete from replay_events where operation_id = %s", (id_,))
    await tx.execute("update replays set owner = null where operation_id = %s", (id_,))
    await audit.finish(tx, id_, "done")


async def pause(tx: Transaction, id_: UUID) -> None:
    """Let it stop after the batch in hand. Does not commit. Raises ReplayUnknown, and ReplayBusy when it has ended."""
    replay = await find(tx, id_)
    if replay.state not in {"running", "paused"}:
        raise ReplayBusy(f"replay {id_} is {replay.state}: there is nothing to pause")
    await tx.execute("update operations set state = 'paused', updated_at = now() where id = %s", (id_,))


async def let_go(tx: Transaction, id_: UUID, *, owner: UUID) -> None:
    """Be at it no longer; it is paused unless it has ended. Does not commit."""
    cursor = await tx.execute("update replays set owner = null where operation_id = %s and owner = %s", (id_, owner))
    if cursor.rowcount == 1:
        await tx.execute(
            "update operations set state = 'paused', updated_at = now() where id = %s and state = 'running'", (id_,)
        )


def _replay(row: Any) -> Replay:
    return Replay(**dict(zip(Replay.__struct_fields__, row, strict=True)))


_REPLAYS: Final = """
select r.operation_id, r.group_name, r.handlers, r.is_missing, r.rate, r.total, r.position, r.done, r.failed, r.skipped,
    o.state, o.by
from replays r join operations o on o.id = r.operation_id
"""

_TAKE: Final = """
update replays set owner = %(owner)s, beat_at = clock_timestamp()
where operation_id = %(id)s
and (owner is null or owner = %(owner)s or beat_at < clock_timestamp() - make_interval(secs => %(stale)s))
"""

_NEXT: Final = """
select r.n, e.id, e.user_id, e.payload::text from replay_events r join event_log e on e.id = r.event_id
where r.operation_id = %(id)s and r.n > %(position)s order by r.n limit %(limit)s
"""

_ADVANCE: Final = """
update replays set position = %(position)s, done = done + %(done)s, failed = failed + %(failed)s,
    skipped = skipped + %(skipped)s, beat_at = clock_timestamp()
where operation_id = %(id)s
"""
