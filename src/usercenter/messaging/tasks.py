"""The tasks: work still to be done for one handler and one user, in the order of that pair (its lane).

The rows and the statements; who runs them is `messaging/runner.py`. A task runs only when no earlier one of its lane is
unfinished. Attempts are counted before the handler runs, and once more when they end, so an attempt that began and
never ended (its process was killed) is seen. The count is also the fence: whoever notes the end of an attempt that is
not the latest one changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from usercenter.columns import parts
from usercenter.db import Transaction
from usercenter.messaging.shards import shard_of

SIGNAL: Final = "tasks"
"""Set after a commit that added tasks; the runner of the same process waits for it."""
SETS_SIGNAL: Final = "tasks.sets"
"""The same, for the tasks that are done in sets (`messaging/sets.py`): a signal wakes one who waits."""

SUSPECTED_AFTER_CRASHES: Final = 2
"""One is bad luck: a deployment that is killed has hundreds of tasks in hand."""

Lane = tuple[str, UUID]
"""Handler and user: what is kept in order."""


class NewTask(NamedTuple):
    """Work that a batch leaves to the runner."""

    handler: str
    user_id: UUID
    sequence: int | None
    event_id: UUID
    event_type: str
    key: bytes | None
    payload: bytes
    group: str
    topic: str
    partition: int
    offset: int
    attempts: int
    delay_seconds: float
    last_error: str | None
    occurred_at: datetime
    headers: Mapping[str, str]
    """Those of the event's message, for a dead letter."""


class Waiting(NamedTuple):
    """A due task, as far as the scheduler must know it."""

    position: int
    handler: str
    user_id: UUID
    due_with: datetime | None
    """When the one before it in its lane comes due, if that is later: it cannot run before then."""
    crashes: int
    """In how many of its attempts the process ended."""

    @property
    def lane(self) -> Lane:
        """What it must be in order with."""
        return self.handler, self.user_id


class Task(NamedTuple):
    """A claimed task."""

    position: int
    handler: str
    user_id: UUID
    event_id: UUID
    event_type: str
    key: bytes | None
    payload: bytes
    headers: str
    """Those of the event's message, as JSON: a dead letter needs them, an attempt does not."""
    group: str
    topic: str
    partition: int
    offset: int
    shard: int
    attempts: int
    """With the one for which it was claimed."""
    ended: int
    """How many attempts have come to an end; one less than `attempts`, unless a process died in between."""
    last_error: str | None
    occurred_at: datetime

    @property
    def lane(self) -> Lane:
        """What it must be in order with."""
        return self.handler, self.user_id

    @property
    def handler_name(self) -> str:
        """The handler without the lane of its own (`outside(…, lanes=…)`)."""
        return self.handler.partition("/")[0]


class Failure(NamedTuple):
    """A claimed task that is to be tried again."""

    task: Task
    attempts: int
    """So many it has had from now on."""
    error: str | None
    wait_seconds: float
    crashes: int = 0
    """So many more of its attempts never came to an end."""


async def add(tx: Transaction, tasks: Sequence[NewTask]) -> None:
    """Leave work to the runner, in this order within each lane. Does not commit."""
    if not tasks:
        return
    rows = [(*task[:-1], msgspec.json.encode(task.headers).decode(), shard_of(task.user_id)) for task in tasks]
    for part in parts(rows):
        await tx.send(_ADD, _columns(part))
    tx.wake_after_commit(SIGNAL)
    tx.wake_after_commit(SETS_SIGNAL)


async def busy_lanes(tx: Transaction, handlers: Collection[str], users: Collection[UUID]) -> set[Lane]:
    """Those lanes of these handlers and users in which something is unfinished."""
    rows = await tx.fetch_all(
        "select distinct handler, user_id from tasks where user_id = any(%b) and handler = any(%b)",
        (list(users), list(handlers)),
    )
    return {(row[0], row[1]) for row in rows}


async def most_parked_users(tx: Transaction, handlers: Collection[str]) -> int:
    """How many users have a failed task, for that of these handlers which has the most of them."""
    row = await tx.fetch_one(
        "select count(distinct user_id) as users from tasks where handler = any(%b) and last_error is not null "
        "group by handler order by users desc limit 1",
        (list(handlers),),
    )
    return row[0] if row else 0


async def due(
    tx: Transaction,
    *,
    handlers: Collection[str],
    shards: Collection[int],
    beside: Sequence[Lane],
    limit: int,
    broken: Collection[str] = (),
) -> list[Waiting]:
    """The next due tasks of these shards, those of lanes in hand (`beside`) and of `broken` handlers left out."""
    names, users = [lane[0] for lane in beside], [lane[1] for lane in beside]
    # The statistics of a table that fills and empties within seconds are always wrong; without this the planner may
    # read and sort the whole backlog for its first rows.
    await tx.execute("set local enable_sort = off")
    rows = await tx.fetch_all(_DUE, (list(handlers), list(broken), list(shards), names, users, limit))
    return [Waiting(*row) for row in rows]


async def due_of(tx: Transaction, *, handler: str, shards: Collection[int]) -> list[Waiting]:
    """The next due task of one handler (with the lane of its own, if it has one), as a probe; none if none is due."""
    rows = await tx.fetch_all(_DUE_OF, (handler, list(shards)))
    return [Waiting(*row) for row in rows]


async def postpone(tx: Transaction, until: Mapping[int, datetime]) -> None:
    """Let tasks come due no earlier than at these moments. Does not commit."""
    await tx.execute(
        "update tasks t set next_attempt_at = p.until "
        "from unnest(%b::bigint[], %b::timestamptz[]) as p (position, until) "
        "where t.position = p.position and t.next_attempt_at < p.until",
        (list(until), list(until.values())),
    )


async def put_off(tx: Transaction, seconds: Mapping[int, float]) -> None:
    """Let tasks that nobody has begun come due so many seconds from now. Does not commit."""
    await tx.execute(_PUT_OFF, (list(seconds), list(seconds.values())))


async def claim(tx: Transaction, *, owner: UUID, positions: Collection[int]) -> list[Task]:
    """Count an attempt for each of those that may run now, and return them in the order in which they came due.

    Left out are tasks whose shard has another owner by now, and those with an earlier one unfinished in their lane.
    """
    rows = await tx.fetch_all(_CLAIM, (list(positions), owner))
    tasks = {row[0]: Task(*row) for row in rows}
    return [tasks[position] for position in positions if position in tasks]


async def unclaim(tx: Transaction, *, owner: UUID, positions: Collection[int]) -> None:
    """Undo claims that were perhaps committed and certainly not begun, as long as nobody else can have made them."""
    await tx.execute(
        "update tasks set attempts = attempts - 1 where position = any(%b) and attempts > ended "
        "and shard in (select shard from leases where kind = 'tasks' and owner = %s)",
        (list(positions), owner),
    )


async def finish(tx: Transaction, positions: Sequence[int]) -> int:
    """Strike done tasks off; returns how many were still there. Does not commit."""
    return (await tx.execute("delete from tasks where position = any(%b)", (list(positions),))).rowcount


async def bury(tx: Transaction, task: Task) -> bool:
    """Strike a task off for good after its last attempt; False if it is no longer ours. Does not commit."""
    cursor = await tx.execute("delete from tasks where position = %s and attempts = %s", (task.position, task.attempts))
    return cursor.rowcount == 1


async def park(tx: Transaction, failures: Sequence[Failure]) -> set[int]:
    """Let failed tasks, of as many lanes, wait for their next attempts, and what is behind them in their lanes.

    Returns the positions of those that were still ours. Does not commit.
    """
    if not failures:
        return set()
    rows = [
        (each.task.position, each.task.attempts, each.attempts, each.error, float(each.wait_seconds), each.crashes)
        for each in failures
    ]
    return {row[0] for row in await tx.fetch_all(_PARK, _columns(rows))}


async def give_back(tx: Transaction, tasks: Sequence[Task]) -> None:
    """Undo the claim of tasks whose attempt was interrupted, by us, before its end. Does not commit."""
    await tx.execute(
        "update tasks t set attempts = t.attempts - 1 from unnest(%b::bigint[], %b::int[]) as g (position, attempts) "
        "where t.position = g.position and t.attempts = g.attempts",
        ([task.position for task in tasks], [task.attempts for task in tasks]),
    )


async def counts(tx: Transaction) -> list[tuple[str, bool, int]]:
    """How many tasks there are: handler, whether parked (failed, or behind a failure), number."""
    rows = await tx.fetch_all(
        "select split_part(handler, '/', 1), last_error is not null or next_attempt_at > now(), count(*) "
        "from tasks group by 1, 2"
    )
    return [(row[0], row[1], row[2]) for row in rows]


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


_ADD: Final = """
insert into tasks (handler, user_id, sequence, event_id, event_type, key, payload, group_name, topic, kafka_partition,
    kafka_offset, attempts, ended, next_attempt_at, last_error, occurred_at, headers, shard)
select handler, user_id, sequence, event_id, event_type, key, payload, group_name, topic, kafka_partition,
    kafka_offset, attempts, attempts, now() + make_interval(secs => delay), last_error, occurred_at, headers::json,
    shard
from unnest(%b::text[], %b::uuid[], %b::bigint[], %b::uuid[], %b::text[], %b::bytea[], %b::bytea[], %b::text[],
    %b::text[], %b::int[], %b::bigint[], %b::int[], %b::float8[], %b::text[], %b::timestamptz[], %b::text[],
    %b::smallint[])
with ordinality as t (handler, user_id, sequence, event_id, event_type, key, payload, group_name, topic,
    kafka_partition, kafka_offset, attempts, delay, last_error, occurred_at, headers, shard, n)
order by n
"""

_DUE: Final = """
select position, handler, user_id, nullif(greatest(next_attempt_at, (
        select e.next_attempt_at from tasks e
        where e.user_id = t.user_id and e.handler = t.handler and e.position < t.position
        order by e.position desc limit 1
    )), next_attempt_at), crashes
from tasks t
where next_attempt_at <= now() and split_part(handler, '/', 1) = any(%b) and handler <> all(%b::text[])
and shard = any(%b::smallint[])
and (handler, user_id) not in (select * from unnest(%b::text[], %b::uuid[]))
order by next_attempt_at, position limit %s
"""

_DUE_OF: Final = """
select position, handler, user_id, null, crashes from tasks t
where next_attempt_at <= now() and handler = %s and shard = any(%b::smallint[])
and not exists (
    select 1 from tasks e where e.user_id = t.user_id and e.handler = t.handler and e.position < t.position
)
order by next_attempt_at, position limit 1
"""

_PUT_OFF: Final = """
update tasks t set next_attempt_at = now() + make_interval(secs => p.seconds)
from unnest(%b::bigint[], %b::float8[]) as p (position, seconds) where t.position = p.position
"""

_CLAIM: Final = """
update tasks t set attempts = attempts + 1
where position = any(%b)
and shard = any(array(select shard from leases where kind = 'tasks' and owner = %s))
and not exists (
    select 1 from tasks e where e.user_id = t.user_id and e.handler = t.handler and e.position < t.position
)
returning position, handler, user_id, event_id, event_type, key, payload, headers::text, group_name, topic,
    kafka_partition, kafka_offset, shard, attempts, ended, last_error, occurred_at
"""

_PARK: Final = """
with failed as materialized (
    select * from unnest(%b::bigint[], %b::int[], %b::int[], %b::text[], %b::float8[], %b::int[])
        as f (position, claimed_as, attempts, error, wait, crashes)
), head as (
    update tasks t set last_error = f.error, attempts = f.attempts, ended = f.attempts,
        crashes = t.crashes + f.crashes, next_attempt_at = now() + make_interval(secs => f.wait)
    from failed f
    where t.position = f.position and t.attempts = f.claimed_as
    returning t.position, t.user_id, t.handler, t.next_attempt_at
), behind as (
    update tasks t set next_attempt_at = head.next_attempt_at from head
    where t.user_id = head.user_id and t.handler = head.handler and t.position > head.position
)
select position from head
"""
