"""The inbox: what a group has already handled, so that no event has a second effect.

One row for (group, event id), inserted in the transaction of the effects. A second reader of the same event waits on
that row until the first one has committed or rolled back; so PostgreSQL itself is the fence between two consumers that
hold one partition for a moment.
"""

from collections.abc import Iterable
from uuid import UUID

from usercenter.db import Transaction


async def admit(tx: Transaction, group: str, event_ids: Iterable[UUID]) -> set[UUID]:
    """The ids that this group has not handled yet, marked as handled by this transaction. Does not commit."""
    rows = await tx.fetch_all(
        "insert into inbox (group_name, event_id) select %s, id from unnest(%b::uuid[]) as e (id) "
        "order by id on conflict do nothing returning event_id",  # one order for all: no deadlock
        (group, list(set(event_ids))),
    )
    return {row[0] for row in rows}


async def forget_older_than(tx: Transaction, *, days: int, at_most: int) -> int:
    """Delete rows past their retention, at most so many; returns how many. Does not commit."""
    cursor = await tx.execute(
        "delete from inbox where ctid = any(array(select ctid from inbox "
        "where handled_at < now() - make_interval(days => %s) limit %s))",
        (days, at_most),
    )
    return cursor.rowcount
