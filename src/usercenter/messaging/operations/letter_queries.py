"""The SQL of dead letters as operators see them: found, grouped, frozen, locked, settled."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from usercenter.db import Transaction
from usercenter.messaging.operations.selection import Action, Filter, Selection

How = Literal["retried", "discarded"]


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter."""

    id: int
    group: str
    handler: str
    topic: str
    partition: int | None
    offset: int | None
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]
    event_id: UUID | None
    event_type: str | None
    user_id: UUID | None
    task_position: int | None
    attempts: int
    error: str
    cause: str
    """The fingerprint of the error; of letters that have none, the error's kind."""
    died_at: datetime
    settled_at: datetime | None
    settled_how: str | None
    operation_id: UUID | None

    @property
    def handler_name(self) -> str:
        """The handler without the lane of its own."""
        return self.handler.partition("/")[0]


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Open letters that died of the same."""

    handler: str
    cause: str
    event_type: str | None
    count: int
    first_at: datetime
    last_at: datetime
    example: int
    """The id of the latest one."""
    error: str
    value: bytes | None


async def find(tx: Transaction, filter_: Filter, *, is_open: bool, limit: int) -> list[Letter]:
    """Letters, the latest first."""
    rows = await tx.fetch_all(_FIND, filter_.parameters() | {"is_open": is_open, "limit": limit})
    return [_letter(row) for row in rows]


async def one(tx: Transaction, id_: int) -> Letter | None:
    """The letter with this id, or None."""
    row = await tx.fetch_one(_ONE, (id_,))
    return _letter(row) if row else None


async def causes(tx: Transaction, filter_: Filter, *, limit: int, upper: int | None = None) -> list[Cause]:
    """What the open letters (up to this id) died of, the most frequent first."""
    rows = await tx.fetch_all(_CAUSES, filter_.parameters() | {"limit": limit, "upper": upper})
    return [Cause(**dict(zip(Cause.__struct_fields__, row, strict=True))) for row in rows]


async def freeze(tx: Transaction, action: Action, filter_: Filter) -> Selection:
    """The open letters that the filter finds now."""
    row = await tx.fetch_one(_FREEZE, filter_.parameters())
    upper, count = row or (0, 0)
    return Selection(action=action, filter=filter_, upper=upper, count=count)


async def ids(tx: Transaction, selection: Selection) -> list[int]:
    """The letters of a selection that are still open: lane by lane, each lane in its order."""
    rows = await tx.fetch_all(_IDS, selection.filter.parameters() | {"upper": selection.upper})
    return [row[0] for row in rows]


async def lock(tx: Transaction, ids_: Collection[int]) -> list[Letter]:
    """Those of these letters that are open, held until the transaction ends, in the order of `ids`."""
    rows = await tx.fetch_all(_LOCK, (list(ids_),))
    letters = {row[0]: _letter(row) for row in rows}
    return [letters[id_] for id_ in ids_ if id_ in letters]


async def read(tx: Transaction, ids_: Collection[int]) -> list[Letter]:
    """As `lock`, without holding them."""
    rows = await tx.fetch_all(_READ, (list(ids_),))
    letters = {row[0]: _letter(row) for row in rows}
    return [letters[id_] for id_ in ids_ if id_ in letters]


async def passed_since(tx: Transaction, ids_: Collection[int]) -> set[int]:
    """Those whose work was done since they died: another letter of the same work was retried, and passed."""
    rows = await tx.fetch_all(_PASSED_SINCE, (list(ids_),))
    return {row[0] for row in rows}


async def has_work_of(tx: Transaction, handler: str) -> bool:
    """Whether there is a task or a letter, open or settled, of a handler of this name."""
    row = await tx.fetch_one(_HAS_WORK_OF, {"handler": handler})
    return bool(row and row[0])


async def settle(tx: Transaction, ids_: Sequence[int], *, how: How, operation_id: UUID) -> None:
    """Strike locked letters off the open ones; they stay as they are. Does not commit."""
    await tx.execute(
        "update dead_letters set settled_at = clock_timestamp(), settled_how = %s, operation_id = %s "
        "where id = any(%b) and settled_at is null",
        (how, operation_id, list(ids_)),
    )


def _letter(row: Any) -> Letter:
    return Letter(**dict(zip(Letter.__struct_fields__, row, strict=True)))


_CAUSE: Final = "coalesce(nullif(fingerprint, ''), split_part(error, ':', 1))"

_COLUMNS: Final = f"""id, group_name, handler, topic, kafka_partition, kafka_offset, key, value, headers, event_id,
    event_type, user_id, task_position, attempts, error, {_CAUSE}, died_at, settled_at, settled_how, operation_id"""

_MATCHES: Final = f"""(%(id)s::bigint is null or id = %(id)s)
and (%(handler)s::text is null or %(handler)s in (handler, split_part(handler, '/', 1)))
and (%(type)s::text is null or event_type = %(type)s)
and (%(user)s::uuid is null or user_id = %(user)s)
and (%(since)s::timestamptz is null or died_at >= %(since)s)
and (%(until)s::timestamptz is null or died_at < %(until)s)
and (%(cause)s::text is null or %(cause)s in ({_CAUSE}, split_part(error, ':', 1)))"""

_FIND: Final = f"""
select {_COLUMNS} from dead_letters
where {_MATCHES} and (not %(is_open)s or settled_at is null)
order by id desc limit %(limit)s
"""

_HAS_WORK_OF: Final = """
select exists (select from tasks where split_part(handler, '/', 1) = %(handler)s)
    or exists (select from dead_letters where split_part(handler, '/', 1) = %(handler)s)
"""

_ONE: Final = f"select {_COLUMNS} from dead_letters where id = %s"

_CAUSES: Final = f"""
with by_cause as (
    select split_part(handler, '/', 1) as handler, {_CAUSE} as cause, event_type, count(*) as number,
        min(died_at) as first_at, max(died_at) as last_at, max(id) as example
    from dead_letters
    where settled_at is null and (%(upper)s::bigint is null or id <= %(upper)s) and {_MATCHES}
    group by 1, 2, 3
)
select c.handler, c.cause, c.event_type, c.number, c.first_at, c.last_at, c.example, d.error, d.value
from by_cause c join dead_letters d on d.id = c.example
order by c.number desc, c.last_at desc limit %(limit)s
"""

_FREEZE: Final = f"""
select coalesce(max(id), 0), count(*) from dead_letters where settled_at is null and {_MATCHES}
"""

_IDS: Final = f"""
select id from dead_letters where settled_at is null and id <= %(upper)s and {_MATCHES}
order by user_id, handler, task_position, topic, kafka_partition, kafka_offset, id
"""

_READ: Final = f"select {_COLUMNS} from dead_letters where id = any(%b) and settled_at is null"

_LOCK: Final = f"select {_COLUMNS} from dead_letters where id = any(%b) and settled_at is null order by id for update"

_PASSED_SINCE: Final = """
select l.id from dead_letters l join dead_letters r on r.user_id = l.user_id and r.event_id = l.event_id
    and r.handler = l.handler and r.group_name = l.group_name and r.id <> l.id
where l.id = any(%b) and r.settled_how = 'retried' and r.settled_at > l.died_at
and not exists (
    select 1 from tasks t where t.user_id = l.user_id and t.handler = l.handler and t.event_id = l.event_id
) and not exists (
    select 1 from dead_letters n where n.user_id = l.user_id and n.event_id = l.event_id and n.handler = l.handler
    and n.died_at > r.settled_at
)
"""
