"""Who did what about which work, and what came of it: the table `operations`, which only grows.

What an operation was meant to do never changes; its counts and its state do until it ends. The schema refuses the rest.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from usercenter.db import Database, Transaction
from usercenter.events import new_id

State = Literal["running", "paused", "done", "stopped", "failed"]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an operator did."""

    id: UUID
    kind: str
    by: str
    reason: str | None
    selection: dict[str, Any]
    counts: dict[str, int]
    state: State
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class Running:
    """An operation that is not over."""

    def __init__(self, id_: UUID) -> None:
        self.id = id_
        self.state: State = "done"
        """What it ends as, unless it is interrupted or fails."""

    async def note(self, tx: Transaction, done: Mapping[str, int]) -> None:
        """Add to the counts, in the transaction that does it. Does not commit."""
        await add(tx, self.id, done)


@asynccontextmanager
async def operation(
    database: Database, *, kind: str, by: str, reason: str | None = None, selection: Mapping[str, Any] | None = None
) -> AsyncIterator[Running]:
    """Keep a record of the work in the block: begun before it, ended after it, whatever ends it.

    An interruption leaves it `stopped`, an error `failed`; a process that is killed leaves it `running`.
    """
    async with database.transaction() as tx:
        running = Running(await begin(tx, kind=kind, by=by, reason=reason, selection=selection or {}))
    try:
        yield running
    except asyncio.CancelledError:
        await _end(database, running.id, "stopped")
        raise
    except BaseException:
        await _end(database, running.id, "failed")
        raise
    await _end(database, running.id, running.state)


async def begin(
    tx: Transaction,
    *,
    kind: str,
    by: str,
    reason: str | None = None,
    selection: Mapping[str, Any],
    counts: Mapping[str, int] | None = None,
) -> UUID:
    """Say that somebody begins something; returns the operation's id. Does not commit."""
    id_ = new_id()
    facts = {"id": id_, "kind": kind, "by": by, "reason": reason}
    await tx.execute(_BEGIN, facts | {"selection": _json(selection), "counts": _json(counts or {})})
    return id_


async def progress(tx: Transaction, id_: UUID, counts: Mapping[str, int]) -> None:
    """Say how far it is. Does not commit."""
    await tx.execute("update operations set counts = %s, updated_at = now() where id = %s", (_json(counts), id_))


async def add(tx: Transaction, id_: UUID, done: Mapping[str, int]) -> None:
    """Say that so much more is done. Does not commit."""
    await tx.execute(_ADD, {"done": _json(done), "id": id_})


async def finish(tx: Transaction, id_: UUID, state: State) -> None:
    """Say that it is over; the first end counts. Does not commit."""
    await tx.execute(
        "update operations set state = %s, updated_at = now(), finished_at = now() "
        "where id = %s and finished_at is null",
        (state, id_),
    )


async def latest(tx: Transaction, *, kind: str | None = None, limit: int = 20) -> list[Operation]:
    """The latest operations (of one kind), the newest first."""
    rows = await tx.fetch_all(_LATEST, {"kind": kind, "limit": limit})
    return [_operation(row) for row in rows]


async def find(tx: Transaction, id_: UUID) -> Operation | None:
    """One operation, or None."""
    row = await tx.fetch_one(_FIND, (id_,))
    return _operation(row) if row else None


async def _end(database: Database, id_: UUID, state: State) -> None:
    async with database.transaction() as tx:
        await finish(tx, id_, state)


def _operation(row: Any) -> Operation:
    return Operation(**dict(zip(Operation.__struct_fields__, row, strict=True)))


def _json(value: Mapping[str, Any]) -> str:
    return msgspec.json.encode(value).decode()


_BEGIN: Final = """
insert into operations (id, kind, by, reason, selection, counts, state)
values (%(id)s, %(kind)s, %(by)s, %(reason)s, %(selection)s, %(counts)s, 'running')
"""

_ADD: Final = """
update operations set updated_at = now(), counts = (
    select coalesce(json_object_agg(key, number), '{}') from (
        select key, sum(value::bigint) as number
        from (select * from json_each_text(counts) union all select * from json_each_text(%(done)s)) as both_counts
        group by key
    ) as summed
) where id = %(id)s
"""

_LATEST: Final = """
select id, kind, by, reason, selection, counts, state, started_at, updated_at, finished_at from operations
where %(kind)s::text is null or kind = %(kind)s order by started_at desc, id desc limit %(limit)s
"""

_FIND: Final = """
select id, kind, by, reason, selection, counts, state, started_at, updated_at, finished_at from operations
where id = %s
"""
