"""One attempt at one task, or at many in one call: the events read again, the handler called, and what came of it."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace
from structlog.contextvars import bind_contextvars, bound_contextvars

from usercenter.db import Database
from usercenter.events import Event, Registry
from usercenter.messaging import causes, tasks
from usercenter.messaging.calls import NeverEnded, call
from usercenter.messaging.deadlines import Deadlines
from usercenter.messaging.groups import Context, Handler, Outside
from usercenter.messaging.tasks import Task
from usercenter.messaging.traces import of_attempt, of_set
from usercenter.points import reached
from usercenter.tracing import UNTRACED, Tracing, trace_of


class NoLongerOurs(Exception):
    """The task was struck off by another runner while we had it; our work on it is undone."""

    is_failure = False


class Attempts:
    """Makes the attempts of a runner."""

    def __init__(
        self,
        *,
        handlers: Mapping[str, Handler],
        registry: Registry,
        database: Database,
        context: Context,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self._handlers = handlers
        self._registry = registry
        self._database = database
        self._context = context
        self._tracing = tracing
        self._deadlines = Deadlines()

    async def make(self, task: Task) -> str:
        """Do the task's work once; a record handler's effect and the end of its task are one transaction.

        Returns the event's request id. Raises whatever keeps it from being done, as an Exception; NeverEnded, without
        having tried, when the last attempt did not end; NoLongerOurs when nothing is left to be done.
        """
        if task.attempts - task.ended > 1:
            raise _never_ended(task)
        event, trace = self._registry.decode(task.payload), causes.traceparent_of(task)
        bind_contextvars(event_id=str(task.event_id), request_id=event.request_id, **trace_of(trace))
        reached("task.begun")
        with of_attempt(self._tracing, task), causes.carrying({task.event_id: trace} if trace else {}):
            await self._run(task, event)
        return event.request_id

    async def make_together(self, found: Sequence[Task]) -> list[str]:
        """Do the work of tasks of one handler in one call (`outside(…, together=…)`); none of them was tried before.

        Returns the request ids of their events. Raises what keeps them from being done, as an Exception: nobody knows
        then whose fault it is, nor which of them are done all the same.
        """
        handler = self._handlers[found[0].handler_name]
        if not isinstance(handler, Outside) or handler.together is None:
            raise TypeError(f"{handler.name} takes no sets")
        events = [self._registry.decode(task.payload) for task in found]
        traces = {task.event_id: trace for task in found if (trace := causes.traceparent_of(task))}
        reached("task.begun")
        with (
            bound_contextvars(**trace_of(causes.only_one(traces))),
            of_set(self._tracing, found, traces),
            causes.carrying(traces),
        ):
            await call(handler.together, events, self._context, timeout_seconds=handler.timeout_seconds)
        reached("task.done")
        return [event.request_id for event in events]

    async def _run(self, task: Task, event: Event) -> None:
        handler = self._handlers[task.handler_name]
        lane = task.handler.partition("/")[2]
        context = replace(self._context, idempotency_id=task.event_id, attempt=task.attempts, lane=lane)
        if isinstance(handler, Outside):
            await call(handler.run, event, context, timeout_seconds=handler.timeout_seconds, deadlines=self._deadlines)
            reached("task.done")
            return
        async with self._database.transaction() as tx:
            await tx.allow_pauses(1.2 * handler.timeout_seconds)
            await call(
                handler.run,
                [event],
                tx,
                context,
                timeout_seconds=handler.timeout_seconds,
                deadlines=self._deadlines,
            )
            if not await tasks.finish(tx, [task.position]):
                raise NoLongerOurs


def _never_ended(task: Task) -> NeverEnded:
    before = task.last_error if task.last_error and not task.last_error.startswith(NeverEnded.__name__) else None
    return NeverEnded(
        f"attempt {task.attempts - 1} began and never ended: its process was killed, or lost its lease"
        + (f"; the error before it: {before}" if before else "")
    )
