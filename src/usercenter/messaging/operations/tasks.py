"""Tasks called before their time: the cause of a failure is mended, and nobody wants to wait for the next attempt."""

from usercenter.db import Database
from usercenter.messaging import tasks
from usercenter.messaging.operations import audit, task_queries
from usercenter.messaging.operations.selection import Selection


async def retry_now(database: Database, selection: Selection, *, by: str, reason: str | None = None) -> int:
    """Let the parked lanes of a selection come due at once, in their order; returns how many. May be repeated.

    Attempts already made still count. Runners of other processes see it at their next look.
    """
    async with (
        audit.operation(database, kind="tasks.retry_now", by=by, reason=reason, selection=selection.facts()) as running,
        database.transaction() as tx,
    ):
        called = await task_queries.call_now(tx, selection)
        await running.note(tx, {"lanes": called})
        tx.wake_after_commit(tasks.SIGNAL)
    return called
