"""The router: one batch of messages, one transaction, every effect once.

In this order: read what the bytes say, admit what the inbox does not know, run the record handlers, leave the outside
handlers to the task runner, keep what cannot be read as dead letters. Either all of it is committed or nothing is; the
offsets are stored afterwards, so a crash repeats the batch and the inbox takes the second effect away.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID, uuid5

import structlog

from usercenter.config.model import Config
from usercenter.db import Database, Transaction, is_transient
from usercenter.events import Event, Registry, Undecodable, UnknownType
from usercenter.messaging import dead_letters, inbox, tasks
from usercenter.messaging.dead_letters import DeadLetter
from usercenter.messaging.groups import Context, Group, Handler, Outside, Record, Schedule
from usercenter.messaging.tasks import Lane, NewTask
from usercenter.metrics import Metrics

log = structlog.get_logger()

_COORDINATES: Final = UUID("5f0c1c5e-6d0e-5b7b-9a39-0f6a4d1d2b11")  # namespace of ids for messages that have none


class Received(NamedTuple):
    """A message as it came from Kafka."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]

    @property
    def coordinates_id(self) -> UUID:
        """An id for a message that has none of its own: made of where it lies."""
        return uuid5(_COORDINATES, f"{self.topic}/{self.partition}/{self.offset}")


class Item(NamedTuple):
    """An event and the message that brought it."""

    event: Event
    message: Received


class Broken(NamedTuple):
    """A message that is no event, and why."""

    message: Received
    error: Undecodable


class Batch(NamedTuple):
    """A batch, read."""

    items: list[Item]
    broken: list[Broken]
    skipped: list[str]


class Outcome:
    """What a transaction did, told to metrics and log only after its commit."""

    def __init__(self) -> None:
        self.repeated = 0
        self.done: list[tuple[str, Sequence[Item], float]] = []
        self.failed: list[tuple[str, Item, str]] = []


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
        started = time.perf_counter()
        batch = self._read(messages)
        try:
            outcome = await self._commit(batch, is_careful=False)
        except Exception as error:
            if is_transient(error):
                raise
            log.warning("kafka.batch_isolated", group=self.group.name, error=dead_letters.describe(error))
            outcome = await self._commit(batch, is_careful=True)
        self._metrics.batch_seconds.labels(self.group.name).observe(time.perf_counter() - started)
        self._tell(messages, batch, outcome)

    def _read(self, messages: Sequence[Received]) -> Batch:
        batch = Batch([], [], [])
        for message in messages:
            try:
                batch.items.append(Item(self._registry.decode(message.value), message))
            except Undecodable as error:
                batch.broken.append(Broken(message, error))
            except UnknownType as error:
                batch.skipped.append(error.type)
        return batch

    async def _commit(self, batch: Batch, *, is_careful: bool) -> Outcome:
        outcome = Outcome()
        async with self._database.transaction() as tx:
            items, broken = await self._admit(tx, batch, outcome)
            await self._bury(tx, broken)
            by_class: dict[type[Event], list[Item]] = defaultdict(list)
            for item in items:
                by_class[type(item.event)].append(item)
            later: list[NewTask] = []
            busy = await self._busy_lanes(tx, by_class)
            for event_class, of_class in by_class.items():
                for handler in self.group.handlers[event_class]:
                    if isinstance(handler, Outside):
                        later += [self._task(handler, item) for item in of_class]
                    else:
                        later += await self._record(tx, handler, of_class, busy, outcome, is_careful=is_careful)
            await tasks.add(tx, later)
        return outcome

    async def _admit(self, tx: Transaction, batch: Batch, outcome: Outcome) -> tuple[list[Item], list[Broken]]:
        wanted = [item for item in batch.items if type(item.event) in self.group.handlers]
        ids = [item.event.id for item in wanted] + [broken.message.coordinates_id for broken in batch.broken]
        if not ids:
            return [], []
        fresh = await inbox.admit(tx, self.group.name, ids)
        outcome.repeated = len(ids) - len(fresh)
        items = []
        for item in wanted:
            if item.event.id in fresh:
                fresh.discard(item.event.id)  # the same event twice in one batch counts once
                items.append(item)
        return items, [broken for broken in batch.broken if broken.message.coordinates_id in fresh]

    async def _bury(self, tx: Transaction, broken: Sequence[Broken]) -> None:
        if broken:
            await dead_letters.add(tx, [self._letter(each) for each in broken])

    async def _busy_lanes(self, tx: Transaction, by_class: Mapping[type[Event], Sequence[Item]]) -> set[Lane]:
        handlers = [h.name for c in by_class for h in self.group.handlers[c] if isinstance(h, Record)]
        users = {item.event.user_id for items in by_class.values() for item in items}
        return await tasks.busy_lanes(tx, handlers, list(users)) if handlers else set()

    async def _record(
        self,
        tx: Transaction,
        handler: Record,
        items: Sequence[Item],
        busy: set[Lane],
        outcome: Outcome,
        *,
        is_careful: bool,
    ) -> list[NewTask]:
        """Run a record handler; what is behind an unfinished task of its lane, or fails, is left to the runner."""
        free = [item for item in items if (handler.name, item.event.user_id) not in busy]
        if is_careful:
            return await self._record_one_by_one(tx, handler, items, busy, outcome)
        if free:
            started = time.perf_counter()
            await handler.run([item.event for item in free], tx, self._context)
            outcome.done.append((handler.name, free, time.perf_counter() - started))
        return [self._task(handler, item) for item in items if (handler.name, item.event.user_id) in busy]

    async def _record_one_by_one(
        self, tx: Transaction, handler: Record, items: Sequence[Item], busy: set[Lane], outcome: Outcome
    ) -> list[NewTask]:
        """Find the events that fail: each runs in a savepoint of its own, and one that fails parks its lane."""
        later = []
        for item in items:
            lane = (handler.name, item.event.user_id)
            if lane in busy:
                later.append(self._task(handler, item))
                continue
            started = time.perf_counter()
            try:
                async with tx.savepoint():
                    await handler.run([item.event], tx, self._context)
            except Exception as error:
                if is_transient(error):
                    raise
                busy.add(lane)
                later.append(self._task(handler, item, error=dead_letters.describe(error)))
                outcome.failed.append((handler.name, item, error.__class__.__name__))
            else:
                outcome.done.append((handler.name, [item], time.perf_counter() - started))
        return later

    def _task(self, handler: Handler, item: Item, *, error: str | None = None) -> NewTask:
        event, message = item
        schedule = handler.schedule or self._schedule
        return NewTask(
            handler=handler.name,
            user_id=event.user_id,
            sequence=event.sequence,
            event_id=event.id,
            event_type=event.type,
            payload=message.value or b"",
            group=self.group.name,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            attempts=0 if error is None else 1,
            delay_seconds=0.0 if error is None else (schedule.wait_seconds(1) or 0.0),
            last_error=error,
            occurred_at=event.occurred_at,
        )

    def _letter(self, broken: Broken) -> DeadLetter:
        message = broken.message
        return DeadLetter(
            group=self.group.name,
            handler="decode",
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
            error=dead_letters.describe(broken.error),
        )

    def _tell(self, messages: Sequence[Received], batch: Batch, outcome: Outcome) -> None:
        topic = messages[0].topic
        types = Counter(item.event.type for item in batch.items)
        types["other"] = len(batch.skipped) + len(batch.broken)
        for type_, number in types.items():
            self._metrics.consumed.labels(topic, type_, self.group.name).inc(number)
        if batch.broken:
            self._metrics.consume_errors.labels(topic, "other", self.group.name, "Undecodable").inc(len(batch.broken))
        for handler, item, error in outcome.failed:
            self._metrics.handled.labels(handler, "failed").inc()
            self._metrics.consume_errors.labels(topic, item.event.type, self.group.name, error).inc()
        self._metrics.repeated.labels(self.group.name).inc(outcome.repeated)
        self._measure(outcome)
        self._log(messages, batch, outcome)

    def _measure(self, outcome: Outcome) -> None:
        now = self._context.clock.now()
        for handler, items, seconds in outcome.done:
            self._metrics.handled.labels(handler, "done").inc(len(items))
            self._metrics.handler_seconds.labels(handler).observe(seconds)
            delay = self._metrics.effect_delay.labels(handler)
            for item in items:
                delay.observe(max(0.0, (now - item.event.occurred_at).total_seconds()))

    def _log(self, messages: Sequence[Received], batch: Batch, outcome: Outcome) -> None:
        log.info(
            "kafka.batch_handled",
            group=self.group.name,
            messages=len(messages),
            repeated=outcome.repeated,
            skipped=len(batch.skipped),
            failed=len(outcome.failed),
            undecodable=len(batch.broken),
        )
        if len(messages) <= self._log_each:
            for event, message in batch.items:
                log.info(
                    "kafka.message_handled",
                    group=self.group.name,
                    topic=message.topic,
                    partition=message.partition,
                    offset=message.offset,
                    event_type=event.type,
                    event_id=str(event.id),
                    request_id=event.request_id,
                )
