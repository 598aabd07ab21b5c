"""The SQL of tasks as operators see them: found, frozen, called before their time, and made of dead letters."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import msgspec

from usercenter.db import Transaction
from usercenter.messaging import tasks
from usercenter.messaging.operations.selection import Filter, Selection


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """A task in the table."""

    position: int
    handler: str
    state: Literal["waiting", "parked"]
    """Parked: it failed, or it is behind one that did, or its time has not come."""
    user_id: UUID
    sequence: int | None
    event_id: UUID
    event_type: str
    payload: bytes
    headers: dict[str, str]
    group: str
    topic: str
    partition: int
    offset: int
    attempts: int
    next_attempt_at: datetime
    last_error: str | None
    occurred_at: datetime
    created_at: datetime


class Restored(NamedTuple):
    """A dead letter that becomes a task, and what its row does not say of it."""

    letter_id: int
    sequence: int | None
    occurred_at: datetime
    shard: int


async def find(tx: Transaction, filter_: Filter, *, limit: int) -> list[TaskRow]:
    """Tasks, those whose time comes first at the top."""
    rows = await tx.fetch_all(_FIND, filter_.parameters() | {"limit": limit})
    return [_task(row) for row in rows]


async def one(tx: Transaction, position: int) -> TaskRow | None:
    """The task at this position, or None."""
    row = await tx.fetch_one(_ONE, (position,))
    return _task(row) if row else None


async def freeze(tx: Transaction, filter_: Filter) -> Selection:
    """The lanes that wait for their time, of those that the filter finds now."""
    row = await tx.fetch_one(_FREEZE, filter_.parameters())
    upper, count = row or (0, 0)
    return Selection(action="retry-now", filter=filter_, upper=upper, count=count)


async def call_now(tx: Transaction, selection: Selection) -> int:
    """Let the lanes of a selection come due, head and all behind it; returns how many lanes. Does not commit."""
    row = await tx.fetch_one(_CALL, selection.filter.parameters() | {"upper": selection.upper})
    return int(row[0]) if row else 0


async def restore(tx: Transaction, letters: Sequence[Restored]) -> None:
    """Make tasks of these dead letters, with no attempt made. Does not commit.

    Those that were tasks come back to their old position, the others behind what is there, in the order given.
    """
    if not letters:
        return
    columns = [list(column) for column in zip(*letters, strict=True)]
    await tx.execute(_RESTORE_OLD, columns)
    await tx.execute(_RESTORE_NEW, columns)
    tx.wake_after_commit(tasks.SIGNAL)


def _task(row: Any) -> TaskRow:
    return TaskRow(**dict(zip(TaskRow.__struct_fields__, row, strict=True)))


_STATE: Final = "case when last_error is not null or next_attempt_at > now() then 'parked' else 'waiting' end"

_COLUMNS: Final = f"""position, handler, {_STATE}, user_id, sequence, event_id, event_type, payload, headers,
    group_name, topic, kafka_partition, kafka_offset, attempts, next_attempt_at, last_error, occurred_at, created_at"""

_MATCHES: Final = f"""(%(id)s::bigint is null or position = %(id)s)
and (%(handler)s::text is null or %(handler)s in (handler, split_part(handler, '/', 1)))
and (%(type)s::text is null or event_type = %(type)s)
and (%(user)s::uuid is null or user_id = %(user)s)
and (%(since)s::timestamptz is null or created_at >= %(since)s)
and (%(until)s::timestamptz is null or created_at < %(until)s)
and (%(cause)s::text is null or split_part(last_error, ':', 1) = %(cause)s)
and (%(state)s::text is null or {_STATE} = %(state)s)"""

_IS_HEAD: Final = """not exists (
    select 1 from tasks e where e.user_id = t.user_id and e.handler = t.handler and e.position < t.position
)"""

_FIND: Final = f"select {_COLUMNS} from tasks where {_MATCHES} order by next_attempt_at, position limit %(limit)s"

_ONE: Final = f"select {_COLUMNS} from tasks where position = %s"

_FREEZE: Final = f"""
select coalesce(max(position), 0), count(*) from tasks t where next_attempt_at > now() and {_IS_HEAD} and {_MATCHES}
"""

_CALL: Final = f"""
with heads as (
    select user_id, handler, position from tasks t
    where position <= %(upper)s and next_attempt_at > now() and {_IS_HEAD} and {_MATCHES}
), called as (
    update tasks t set next_attempt_at = now() from heads h
    where t.user_id = h.user_id and t.handler = h.handler and t.position >= h.position and t.next_attempt_at > now()
)
select count(*) from heads
"""

_LETTERS: Final = """
from unnest(%b::bigint[], %b::bigint[], %b::timestamptz[], %b::smallint[])
    with ordinality as e (id, sequence, occurred_at, shard, n)
join dead_letters d on d.id = e.id
"""

_RESTORE_OLD: Final = (
    """
insert into tasks (position, handler, user_id, sequence, event_id, event_type, key, payload, headers, group_name, topic,
    kafka_partition, kafka_offset, occurred_at, shard)
select d.task_position, d.handler, d.user_id, e.sequence, d.event_id, d.event_type, d.key, coalesce(d.value, ''),
    d.headers, d.group_name, d.topic, coalesce(d.kafka_partition, 0), coalesce(d.kafka_offset, 0), e.occurred_at,
    e.shard
"""
    + _LETTERS
    + "where d.task_position is not null on conflict (position) do nothing"
)

_RESTORE_NEW: Final = (
    """
insert into tasks (handler, user_id, sequence, event_id, event_type, key, payload, headers, group_name, topic,
    kafka_partition, kafka_offset, occurred_at, shard)
select d.handler, d.user_id, e.sequence, d.event_id, d.event_type, d.key, coalesce(d.value, ''), d.headers,
    d.group_name, d.topic, coalesce(d.kafka_partition, 0), coalesce(d.kafka_offset, 0), e.occurred_at, e.shard
"""
    + _LETTERS
    + "where d.task_position is null order by e.n"
)
"""`e.n` keeps the order in which the letters were given."""
