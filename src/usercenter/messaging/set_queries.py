"""How a set of tasks is claimed. Does not commit."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from usercenter.db import Transaction
from usercenter.messaging.tasks import SUSPECTED_AFTER_CRASHES, Task


async def claim(
    tx: Transaction, *, owner: UUID, handlers: Collection[str], shards: Collection[int], limit: int
) -> list[Task]:
    """Count an attempt for each of the next due tasks of these handlers, and return them in the order of their lanes.

    Of each lane it takes the first ones, without a gap. What has an earlier one of its lane parked waits with that one.
    One that is suspected of having ended processes is claimed alone: what else is in hand would share its attempts.
    """
    await tx.execute("set local enable_sort = off")  # see `tasks.due`
    parameters = {
        "owner": owner,
        "handlers": list(handlers),
        "shards": list(shards),
        "limit": limit,
        "suspected": SUSPECTED_AFTER_CRASHES,
    }
    rows = await tx.fetch_all(_CLAIM, parameters)
    return sorted((Task._make(row) for row in rows), key=lambda task: task.position)


_CLAIM: Final = """
with due as materialized (
    select position, handler, user_id, crashes >= %(suspected)s as is_suspect from tasks
    where next_attempt_at <= now() and handler = any(%(handlers)b) and shard = any(%(shards)b::smallint[])
    order by next_attempt_at, position limit %(limit)s
), first as materialized (
    select d.position, d.is_suspect, e.position as before, e.next_attempt_at
    from due d left join lateral (
        select e.position, e.next_attempt_at from tasks e
        where e.user_id = d.user_id and e.handler = d.handler and e.position < d.position
        and e.position not in (select position from due)
        order by e.position desc limit 1
    ) e on true
), alone as materialized (
    select position from first where is_suspect and before is null order by position limit 1
), behind as (
    update tasks t set next_attempt_at = first.next_attempt_at from first
    where t.position = first.position and first.next_attempt_at > now()
)
update tasks t set attempts = attempts + 1 from first
where t.position = first.position and first.before is null
and case when exists (select from alone) then t.position = (select position from alone) else not first.is_suspect end
and t.shard = any(array(select shard from leases where kind = 'tasks' and owner = %(owner)s))
returning t.position, t.handler, t.user_id, t.event_id, t.event_type, t.key, t.payload, t.headers::text, t.group_name,
    t.topic, t.kafka_partition, t.kafka_offset, t.shard, t.attempts, t.ended, t.last_error, t.occurred_at
"""
