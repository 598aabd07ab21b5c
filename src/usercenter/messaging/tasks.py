"""The tasks: work still to be done for one handler and one user, in the order of that pair (its lane).

The rows and the statements; who runs them is `messaging/runner.py`. A task runs only when no earlier one of its lane is
unfinished. Attempts are counted before the handler runs, so an event that kills its process is caught as well.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from usercenter.db import Transaction
from usercenter.messaging.shards import shard_of

SIGNAL: Final = "tasks"
"""Set after a commit that added tasks; the runner of the same process waits for it."""

Lane = tuple[str, UUID]
"""Handler and user: what is kept in order."""


class NewTask(NamedTuple):
    """Work that a batch leaves to the runner."""

    handler: str
    user_id: UUID
    sequence: int | None
    event_id: UUID
    event_type: str
    payload: bytes
    group: str
    topic: str
    partition: int
    offset: int
    attempts: int
    delay_seconds: float
    last_error: str | None
    occurred_at: datetime


class Task(NamedTuple):
    """A task as the runner holds it."""

    position: int
    handler: str
    user_id: UUID
    event_id: UUID
    event_type: str
    payload: bytes
    group: str
    topic: str
    partition: int
    offset: int
    shard: int
    attempts: int
    occurred_at: datetime
    blocked_until: datetime | None

    @property
    def lane(self) -> Lane:
        """What it must be in order with."""
        return self.handler, self.user_id


async def add(tx: Transaction, tasks: Sequence[NewTask]) -> None:
    """Leave work to the runner, in this order within each lane. Does not commit."""
    if not tasks:
        return
    rows = [(*task, shard_of(task.user_id)) for task in tasks]
    await tx.execute(_ADD, _columns(rows))
    tx.wake_after_commit(SIGNAL)


async def busy_lanes(tx: Transaction, handlers: Sequence[str], users: Sequence[UUID]) -> set[Lane]:
    """Those lanes of these handlers and users in which something is unfinished."""
    rows = await tx.fetch_all(
        "select distinct handler, user_id from tasks where user_id = any(%s) and handler = any(%s)",
        (list(users), list(handlers)),
    )
    return {(row[0], row[1]) for row in rows}


async def due(
    tx: Transaction, *, handlers: Sequence[str], shards: Sequence[int], beside: Sequence[int], limit: int
) -> list[Task]:
    """The next due tasks of these shards, without those in hand; a task behind a waiting one says until when."""
    return [Task(*row) for row in await tx.fetch_all(_DUE, (list(handlers), list(shards), list(beside), limit))]


async def postpone(tx: Transaction, tasks: Sequence[Task]) -> None:
    """Let tasks that are behind a waiting one of their lane come due together with it."""
    await tx.execute(
        "update tasks t set next_attempt_at = p.until "
        "from unnest(%s::bigint[], %s::timestamptz[]) as p (position, until) where t.position = p.position",
        ([task.position for task in tasks], [task.blocked_until for task in tasks]),
    )


async def claim(tx: Transaction, *, owner: UUID, positions: Sequence[int]) -> dict[int, int]:
    """Count an attempt for each, and return position → attempts of those that may run now.

    Left out are tasks whose shard has another owner by now, and those with an earlier one unfinished in their lane.
    """
    rows = await tx.fetch_all(_CLAIM, (list(positions), owner))
    return {row[0]: row[1] for row in rows}


async def finish(tx: Transaction, positions: Sequence[int]) -> int:
    """Strike done tasks off; returns how many were still there. Does not commit."""
    return (await tx.execute("delete from tasks where position = any(%s)", (list(positions),))).rowcount


async def fail(tx: Transaction, task: Task, *, error: str, wait_seconds: float) -> None:
    """Park a task until its next attempt, and what is behind it in its lane with it. Does not commit."""
    await tx.execute("update tasks set last_error = %s where position = %s", (error, task.position))
    await tx.execute(
        "update tasks set next_attempt_at = now() + make_interval(secs => %s) "
        "where user_id = %s and handler = %s and position >= %s",
        (wait_seconds, task.user_id, task.handler, task.position),
    )


async def counts(tx: Transaction) -> list[tuple[str, bool, int]]:
    """How many tasks there are: handler, whether parked (failed, or behind a failure), number."""
    rows = await tx.fetch_all(
        "select handler, last_error is not null or next_attempt_at > now(), count(*) from tasks group by 1, 2"
    )
    return [(row[0], row[1], row[2]) for row in rows]


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


_ADD: Final = """
insert into tasks (handler, user_id, sequence, event_id, event_type, payload, group_name, topic, kafka_partition,
    kafka_offset, attempts, next_attempt_at, last_error, occurred_at, shard)
select handler, user_id, sequence, event_id, event_type, payload, group_name, topic, kafka_partition,
    kafka_offset, attempts, now() + make_interval(secs => delay), last_error, occurred_at, shard
from unnest(%s::text[], %s::uuid[], %s::bigint[], %s::uuid[], %s::text[], %s::bytea[], %s::text[], %s::text[],
    %s::int[], %s::bigint[], %s::int[], %s::float8[], %s::text[], %s::timestamptz[], %s::smallint[])
with ordinality as t (handler, user_id, sequence, event_id, event_type, payload, group_name, topic, kafka_partition,
    kafka_offset, attempts, delay, last_error, occurred_at, shard, n)
order by n
"""

_DUE: Final = """
select position, handler, user_id, event_id, event_type, payload, group_name, topic, kafka_partition, kafka_offset,
    shard, attempts, occurred_at, (
        select max(e.next_attempt_at) from tasks e
        where e.user_id = t.user_id and e.handler = t.handler and e.position < t.position and e.next_attempt_at > now()
    )
from tasks t
where next_attempt_at <= now() and handler = any(%s) and shard = any(%s::smallint[]) and position <> all(%s::bigint[])
order by next_attempt_at, position limit %s
"""

_CLAIM: Final = """
update tasks t set attempts = attempts + 1
where position = any(%s)
and exists (select 1 from leases l where l.kind = 'tasks' and l.shard = t.shard and l.owner = %s)
and not exists (
    select 1 from tasks e where e.user_id = t.user_id and e.handler = t.handler and e.position < t.position
)
returning position, attempts
"""
