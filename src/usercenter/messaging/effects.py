"""The effects of a batch in our own database, and what of it is left to the task runner.

A record handler gets all its events of the batch at once. When that fails, the batch is done again with `isolate`: each
handler in a savepoint, and one that fails again for its first and its second half, and so on, until the events that are
to blame stand alone. Everything else keeps its effect.
"""

import time
from collections.abc import Collection, Sequence
from typing import NamedTuple

from usercenter.db import Transaction, is_cancelled, is_transient
from usercenter.messaging.batch import Item
from usercenter.messaging.calls import call
from usercenter.messaging.groups import Context, Handler, Outside, PermanentFailure, Record, Schedule
from usercenter.messaging.tasks import Lane
from usercenter.messaging.traces import of_handler
from usercenter.points import reached
from usercenter.tracing import UNTRACED, Tracing


class Done(NamedTuple):
    """A handler that had its effect."""

    handler: str
    items: Sequence[Item]
    seconds: float


class Later(NamedTuple):
    """What is left to the task runner, in one of the handler's lanes."""

    handler: Handler
    item: Item
    lane: str = ""


class Failed(NamedTuple):
    """A handler that failed for one event; with no wait, for good."""

    handler: Handler
    item: Item
    error: Exception
    wait_seconds: float | None


def concerns_the_batch(error: Exception) -> bool:
    """Whether to repeat all of it; a statement that took too long may be one event's own, and is isolated."""
    return is_transient(error) and not is_cancelled(error)


class Effects:
    """What the handlers of one group do to one batch, inside the batch's transaction."""

    def __init__(
        self,
        tx: Transaction,
        context: Context,
        *,
        schedule: Schedule,
        busy: Collection[Lane],
        tracing: Tracing = UNTRACED,
    ) -> None:
        self.done: list[Done] = []
        self.failed: list[Failed] = []
        self.later: list[Later | Failed] = []
        """What becomes a task, in the order of each lane: not begun, or failed once."""
        self._tx = tx
        self._context = context
        self._schedule = schedule
        self._busy = set(busy)
        self._tracing = tracing

    async def leave(self, handler: Outside, items: Sequence[Item]) -> None:
        """Leave it to the task runner. Raises what the handler's choice of lanes raises."""
        if handler.only_if is not None and not handler.only_if(self._context):
            return
        if handler.lanes is None or not items:
            self.later += [Later(handler, item) for item in items]
            return
        lanes = await handler.lanes([item.event for item in items], self._tx, self._context)
        self.later += [Later(handler, item, lane) for item in items for lane in lanes.get(item.event.id, ())]

    async def record(self, handler: Record, items: Sequence[Item]) -> None:
        """Run it for all events whose lane is free; the others queue. Raises what the handler raises."""
        free = self._free(handler, items)
        if free:
            self.done.append(await self._run(handler, free))

    async def isolate(self, handler: Record, items: Sequence[Item]) -> None:
        """As `record`; an event that fails parks its lane, or is given up, alone. Raises only what is transient."""
        free = self._free(handler, items)
        if not free:
            return
        try:
            async with self._tx.savepoint():
                done = await self._run(handler, free)
                await self._check_deferred()
        except Exception as error:
            if concerns_the_batch(error):
                raise
            if len(free) == 1:
                self._blame(handler, free[0], error)
                return
            middle = len(free) // 2
            await self.isolate(handler, free[:middle])
            await self.isolate(handler, free[middle:])
        else:
            self.done.append(done)

    def give_up(self, handler: Record, items: Sequence[Item], error: Exception) -> None:
        """Do not run it for these any more."""
        self.failed += [Failed(handler, item, error, None) for item in items]

    def _free(self, handler: Record, items: Sequence[Item]) -> list[Item]:
        if not self._busy:
            return list(items)
        free = []
        for item in items:
            if (handler.name, item.event.user_id) in self._busy:
                self.later.append(Later(handler, item))
            else:
                free.append(item)
        return free

    async def _run(self, handler: Record, items: Sequence[Item]) -> Done:
        started = time.perf_counter()
        reached("handler.begun")
        events = [item.event for item in items]
        with of_handler(self._tracing, handler.name, len(events)):
            await call(handler.run, events, self._tx, self._context, timeout_seconds=handler.timeout_seconds)
        return Done(handler.name, items, time.perf_counter() - started)

    async def _check_deferred(self) -> None:
        """Raise now what a deferred constraint would raise at the commit, where nobody could tell whose fault it is."""
        async with self._tx.connection.transaction(force_rollback=True):  # it stays deferred for what comes after
            await self._tx.execute("set constraints all immediate")

    def _blame(self, handler: Record, item: Item, error: Exception) -> None:
        schedule = handler.schedule or self._schedule
        wait = None if isinstance(error, PermanentFailure) else schedule.wait_seconds(1)
        failed = Failed(handler, item, error, wait)
        self.failed.append(failed)
        if wait is not None:
            self._busy.add((handler.name, item.event.user_id))
            self.later.append(failed)
