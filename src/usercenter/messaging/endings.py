"""How attempts ended: collected as they end, noted in sets, told once that is committed."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import structlog

from usercenter.clock import Clock
from usercenter.db import Transaction
from usercenter.messaging import dead_letters, tasks
from usercenter.messaging.calls import NeverEnded
from usercenter.messaging.causes import traceparent_of
from usercenter.messaging.dead_letters import DeadLetter
from usercenter.messaging.fingerprints import fingerprint
from usercenter.messaging.groups import Handler, NotYet, PermanentFailure, RetryLater, Schedule
from usercenter.messaging.reasons import describe
from usercenter.messaging.tasks import Failure, Lane, Task
from usercenter.metrics import Metrics
from usercenter.tracing import trace_of

log = structlog.get_logger()


class Done(NamedTuple):
    """An attempt that succeeded."""

    task: Task
    seconds: float
    request_id: str


class Failed(NamedTuple):
    """An attempt that did not."""

    task: Task
    error: BaseException


class Parked(NamedTuple):
    """A failed task that will be tried again, and why it failed."""

    failure: Failure
    error: BaseException


class Endings:
    """Attempts that have ended and are not noted yet."""

    def __init__(self) -> None:
        self.done: list[Done] = []
        self.failed: list[Failed] = []
        self.interrupted: list[Task] = []
        """Cancelled by us, or claimed and not begun: given back as if nothing had been."""

    def __len__(self) -> int:
        return len(self.done) + len(self.failed) + len(self.interrupted)

    def done_lanes(self) -> list[Lane]:
        """The lanes in which the next task may follow."""
        return [each.task.lane for each in self.done]

    def stopped_lanes(self) -> list[Lane]:
        """The lanes in which nothing may follow before the table has been asked again."""
        return [each.task.lane for each in self.failed] + [task.lane for task in self.interrupted]

    def put_back(self, older: "Endings") -> None:
        """Keep what could not be noted, to be noted later."""
        self.done = older.done + self.done
        self.failed = older.failed + self.failed
        self.interrupted = older.interrupted + self.interrupted


class Ledger:
    """Notes endings in the tables, and tells of them."""

    def __init__(
        self,
        *,
        handlers: Mapping[str, Handler],
        streams: Mapping[str, str],
        schedule: Schedule,
        clock: Clock,
        metrics: Metrics,
        log_each: int,
    ) -> None:
        self._handlers = handlers
        self._streams = streams
        self._schedule = schedule
        self._clock = clock
        self._metrics = metrics
        self._log_each = log_each

    async def note(self, tx: Transaction, endings: Endings) -> tuple[list[Parked], list[DeadLetter]]:
        """Strike off what is done, park what failed, bury what is given up. Does not commit; may be repeated."""
        if endings.done:
            await tasks.finish(tx, [each.task.position for each in endings.done])
        if endings.interrupted:
            await tasks.give_back(tx, endings.interrupted)
        again: list[Parked] = []
        letters: list[DeadLetter] = []
        for failed in endings.failed:
            if failure := self._next_try(failed):
                again.append(Parked(failure, failed.error))
            elif await tasks.bury(tx, failed.task):
                letters.append(self._letter(failed))
        ours = await tasks.park(tx, [each.failure for each in again])
        await dead_letters.add(tx, letters)
        return [each for each in again if each.failure.task.position in ours], letters

    def tell(self, endings: Endings, parked: list[Parked], letters: list[DeadLetter]) -> None:
        """Count and log what is committed by now."""
        self._count_done(endings.done)
        for (task, attempts, _, wait_seconds, _), error in parked:
            if isinstance(error, NotYet):
                continue
            self._metrics.handled.labels(task.handler_name, "failed").inc()
            log.warning(
                "tasks.failed",
                handler=task.handler_name,
                event_id=str(task.event_id),
                attempts=attempts,
                error=type(error).__name__,
                next_attempt_in_seconds=round(wait_seconds, 1),
                **trace_of(traceparent_of(task)),
            )
        for letter in letters:
            self._metrics.handled.labels(letter.handler.partition("/")[0], "dead").inc()
        dead_letters.announce(letters)
        self._log_done(endings.done)

    def _count_done(self, done: list[Done]) -> None:
        now = self._clock.now()
        by_handler: defaultdict[str, list[Done]] = defaultdict(list)
        for each in done:
            by_handler[each.task.handler_name].append(each)
        for handler, of_handler in by_handler.items():
            seconds, delay = self._metrics.handler_seconds.labels(handler), self._metrics.effect_delay.labels(handler)
            for each in of_handler:
                seconds.observe(each.seconds)
                delay.observe(max(0.0, (now - each.task.occurred_at).total_seconds()))
            self._metrics.handled.labels(handler, "done").inc(len(of_handler))

    def _next_try(self, failed: Failed) -> Failure | None:
        """When it is tried again, and what is counted until then; None if it is given up."""
        task, error = failed
        if isinstance(error, NotYet):
            return Failure(task, task.attempts - 1, task.last_error, error.seconds)
        attempts = _attempts_with(failed)
        schedule = self._handlers[task.handler_name].schedule or self._schedule
        wait = None if isinstance(error, PermanentFailure) else schedule.wait_seconds(attempts)
        if wait is not None and isinstance(error, RetryLater):
            wait = max(wait, error.retry_after_seconds or 0.0)
        if wait is None:
            return None
        return Failure(task, attempts, describe(error), wait, crashes=int(isinstance(error, NeverEnded)))

    def _log_done(self, done: list[Done]) -> None:
        if len(done) <= self._log_each:
            for task, _, request_id in done:
                facts = {"handler": task.handler, "event_id": str(task.event_id), "request_id": request_id}
                log.info("tasks.done", **facts, attempts=task.attempts, **trace_of(traceparent_of(task)))
            return
        for handler, number in Counter(each.task.handler_name for each in done).items():
            log.info("tasks.done", handler=handler, tasks=number)

    def _letter(self, failed: Failed) -> DeadLetter:
        task, error = failed
        return DeadLetter(
            group=task.group,
            handler=task.handler,
            stream=self._streams.get(task.topic),
            topic=task.topic,
            partition=task.partition,
            offset=task.offset,
            key=task.key,
            value=task.payload,
            headers=msgspec.json.decode(task.headers, type=dict[str, str]),
            event_id=task.event_id,
            event_type=task.event_type,
            user_id=task.user_id,
            task_position=task.position,
            attempts=_attempts_with(failed),
            error=describe(error),
            fingerprint=fingerprint(error),
        )


def _attempts_with(failed: Failed) -> int:
    """How many attempts the task has had with this one; one that was never made does not count."""
    return failed.task.attempts - 1 if isinstance(failed.error, NeverEnded) else failed.task.attempts
