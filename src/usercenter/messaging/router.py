"""The router: one batch of messages, one transaction, every effect once.

In this order: read what the bytes say, admit what the inbox does not know, run the record handlers, leave the outside
handlers to the task runner, keep what cannot be read as dead letters. Either all of it is committed or nothing is; the
offsets are stored afterwards, so a crash repeats the batch and the inbox takes the second effect away.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import structlog

from usercenter.config.model import Config
from usercenter.db import Database, Transaction, is_transient
from usercenter.events import Registry
from usercenter.messaging import dead_letters, erasures, inbox, tasks
from usercenter.messaging.batch import Batch, Broken, Item, Received, read
from usercenter.messaging.dead_letters import DeadLetter
from usercenter.messaging.effects import Effects, Failed, Later
from usercenter.messaging.groups import Context, Group, Outside, Record, Schedule, task_name
from usercenter.messaging.outcome import Outcome
from usercenter.messaging.tasks import Lane, NewTask
from usercenter.metrics import Metrics
from usercenter.points import reached

__all__ = ["Received", "Router"]

log = structlog.get_logger()


class Router:
    """Handles the batches of one group."""

    def __init__(
        self,
        group: Group,
        *,
        registry: Registry,
        database: Database,
        context: Context,
        config: Config,
        schedule: Schedule,
        metrics: Metrics,
    ) -> None:
        self.group = group
        self._handlers = {handler.name: handler for handler in group.all_handlers()}
        self._registry = registry
        self._database = database
        self._context = context
        self._schedule = schedule
        self._metrics = metrics
        self._log_each = config.logging.each_event_up_to

    async def handle(self, messages: Sequence[Received]) -> None:
        """Handle a batch whole; returns when it is committed. May be called again with the same messages.

        Raises only errors that concern the whole batch (the database is gone): repeat it later.
        """
        if not messages:
            return
        started = time.perf_counter()
        batch = read(messages, self._registry)
        try:
            outcome = await self._commit(batch, is_isolating=False)
        except Exception as error:
            if is_transient(error):
                raise
            log.warning("kafka.batch_isolated", group=self.group.name, error=type(error).__name__)
            outcome = await self._commit(batch, is_isolating=True)
        reached("batch.committed")
        self._metrics.batch_seconds.labels(self.group.name).observe(time.perf_counter() - started)
        outcome.tell(metrics=self._metrics, clock=self._context.clock, log_each=self._log_each)

    async def _commit(self, batch: Batch, *, is_isolating: bool) -> Outcome:
        async with self._database.transaction() as tx:
            items, broken, repeated = await self._admit(tx, batch)
            items = await erasures.without_erased(tx, items)
            by_handler = self._by_handler(items)
            busy = await self._busy_lanes(tx, by_handler)
            effects = Effects(tx, self._context, schedule=self._schedule, busy=busy)
            for name, handler in self._handlers.items():  # the table's order, the same in every process: no deadlock
                if isinstance(handler, Outside):
                    await effects.leave(handler, by_handler[name])
                elif is_isolating:
                    await effects.isolate(handler, by_handler[name])
                else:
                    await effects.record(handler, by_handler[name])
            letters = [self._unread(each) for each in broken if self.group.keeps_unreadable]
            letters += [self._given_up(each) for each in effects.failed if each.wait_seconds is None]
            await tasks.add(tx, [self._task(each) for each in effects.later])
            await dead_letters.add(tx, letters)
            reached("batch.effects_done")
        return Outcome(self.group.name, batch, effects, letters, repeated)

    async def _admit(self, tx: Transaction, batch: Batch) -> tuple[list[Item], list[Broken], int]:
        """What this group has not seen yet, each once and in order; and how many messages were repetitions."""
        wanted = [item for item in batch.items if type(item.event) in self.group.handlers]
        items = {item.event.id: item for item in reversed(wanted)}  # of two with one id the first one counts
        broken = {each.message.fallback_id: each for each in batch.broken}
        if not items and not broken:
            return [], [], 0
        fresh = await inbox.admit(tx, self.group.name, [*items, *broken])
        return (
            [item for item in wanted if item.event.id in fresh and items[item.event.id] is item],
            [each for id_, each in broken.items() if id_ in fresh],
            len(wanted) + len(batch.broken) - len(fresh),
        )

    def _by_handler(self, items: Sequence[Item]) -> Mapping[str, list[Item]]:
        """The events of each handler, whatever their types, in the order in which they came."""
        found: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            for handler in self.group.handlers[type(item.event)]:
                found[handler.name].append(item)
        return found

    async def _busy_lanes(self, tx: Transaction, by_handler: Mapping[str, Sequence[Item]]) -> set[Lane]:
        names = [name for name in by_handler if isinstance(self._handlers[name], Record)]
        users = {item.event.user_id for name in names for item in by_handler[name]}
        return await tasks.busy_lanes(tx, names, users) if names else set()

    def _task(self, later: Later | Failed) -> NewTask:
        failed = later if isinstance(later, Failed) else None
        event, message = later.item
        return NewTask(
            handler=later.handler.name if isinstance(later, Failed) else task_name(later.handler.name, later.lane),
            user_id=event.user_id,
            sequence=event.sequence,
            event_id=event.id,
            event_type=event.type,
            key=message.key,
            payload=message.value or b"",
            group=self.group.name,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            attempts=1 if failed else 0,
            delay_seconds=failed.wait_seconds or 0.0 if failed else 0.0,
            last_error=dead_letters.describe(failed.error) if failed else None,
            occurred_at=event.occurred_at,
        )

    def _unread(self, broken: Broken) -> DeadLetter:
        return self._letter(broken.message, handler="decode", error=broken.error)

    def _given_up(self, failed: Failed) -> DeadLetter:
        event = failed.item.event
        letter = self._letter(failed.item.message, handler=failed.handler.name, error=failed.error)
        return letter._replace(event_id=event.id, event_type=event.type, user_id=event.user_id)

    def _letter(self, message: Received, *, handler: str, error: Exception) -> DeadLetter:
        return DeadLetter(
            group=self.group.name,
            handler=handler,
            stream=self.group.stream,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            key=message.key,
            value=message.value,
            headers=message.headers,
            event_id=None,
            event_type=None,
            user_id=None,
            task_position=None,
            attempts=1,
            error=dead_letters.describe(error),
        )
