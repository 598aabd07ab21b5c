"""The router: one batch of messages, one transaction, every effect once.

In this order: read what the bytes say, admit what the inbox does not know, run the record handlers, leave the outside
handlers to the task runner, keep what cannot be read as dead letters. Either all of it is committed or nothing is; the
offsets are stored afterwards, so a crash repeats the batch and the inbox takes the second effect away. Before it begins
it is marked as begun (`messaging/begun.py`), so an event that kills its process is caught as well.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import structlog
from structlog.contextvars import bound_contextvars

from usercenter.config.model import Config
from usercenter.db import Database, Transaction
from usercenter.events import Registry
from usercenter.messaging import causes, dead_letters, erasures, inbox, stops, tasks
from usercenter.messaging.batch import Batch, Broken, Item, Received, read
from usercenter.messaging.begun import Mark, Marks, parted
from usercenter.messaging.calls import NeverEnded, call
from usercenter.messaging.dead_letters import DeadLetter
from usercenter.messaging.effects import Effects, concerns_the_batch
from usercenter.messaging.groups import Context, Group, Outside, Record, Schedule
from usercenter.messaging.leftovers import Leftovers
from usercenter.messaging.limits import Limits, Verdict
from usercenter.messaging.outcome import Outcome
from usercenter.messaging.stops import Stopped
from usercenter.messaging.tasks import Lane
from usercenter.messaging.traces import of_batch
from usercenter.metrics import Metrics
from usercenter.points import reached
from usercenter.tracing import UNTRACED, Tracing, trace_of

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
        tracing: Tracing = UNTRACED,
    ) -> None:
        self.group = group
        self._handlers = {handler.name: handler for handler in group.all_handlers()}
        limits = [each.timeout_seconds for each in self._handlers.values() if isinstance(each, Record)]
        self._longest_seconds = max(limits, default=None)
        self._longest_pause_seconds = 1.2 * (self._longest_seconds or 0.0)  # cancelled before PostgreSQL ends it
        self._registry = registry
        self._database = database
        self._context = context
        self._schedule = schedule
        self._metrics = metrics
        self._tracing = tracing
        self._log_each = config.logging.each_event_up_to
        self._crashes = config.kafka.consumer.crashes
        self._limits = Limits(config.limits, context.clock)
        self._marks = Marks(group.name, database)
        self._leftovers = Leftovers(group)

    async def handle(self, messages: Sequence[Received]) -> None:
        """Handle a batch whole; returns when it is committed. May be called again with the same messages.

        What an earlier process died of is found and handled one by one, and given up in the end. Raises only errors
        that concern the whole batch (the database is gone, the group has stopped): repeat it later.
        """
        with of_batch(self._tracing, self.group.name, messages):
            rest = messages
            try:
                while rest:
                    rest = await self._begin(rest)
            except BaseException:
                await self._marks.give_back()
                raise

    async def _begin(self, messages: Sequence[Received]) -> Sequence[Received]:
        """Handle them, up to and with those that are suspected; returns what is left."""
        try:
            suspects = await self._marks.begin(messages)
        except Stopped:
            self._limits.begin_anew()  # whoever resumes the group has mended it
            raise
        if not suspects:
            await self._handle(messages)
            return ()
        calm, suspected, rest = parted(messages, suspects)
        log.warning("kafka.batch_met_again", group=self.group.name, suspected=len(suspected), reason="a process ended")
        if calm:
            await self._handle(calm)
        for message, mark in suspected:
            await self._handle_alone(message, mark)
        return rest

    async def _handle_alone(self, message: Received, mark: Mark) -> None:
        await self._marks.begin_alone(message, attempts=mark.attempts + 1)
        has_killed = mark.first == mark.last and mark.attempts >= self._crashes
        if not has_killed:
            await self._handle([message])
            return
        reason = f"its process ended {self._crashes} times while handling it; it was not run again"
        error = NeverEnded(reason, times=self._crashes)
        if mark.attempts > self._crashes:  # even to give it up was too much: nothing looks at its bytes any more
            await self._handle_read(Batch(message.topic, [message], [], [Broken(message, error)], 0))
        else:
            await self._handle_read(read([message], self._registry), error)

    async def _handle(self, messages: Sequence[Received]) -> None:
        await self._handle_read(read(messages, self._registry))

    async def _handle_read(self, batch: Batch, error: NeverEnded | None = None) -> None:
        started = time.perf_counter()
        traceparents = causes.traceparents(batch.items)
        with causes.carrying(traceparents), bound_contextvars(**trace_of(causes.only_one(traceparents))):
            try:
                outcome = await self._commit(batch, is_isolating=False, error=error)
            except Exception as failure:
                if concerns_the_batch(failure):
                    raise
                log.warning("kafka.batch_isolated", group=self.group.name, error=type(failure).__name__)
                outcome = await self._commit(batch, is_isolating=True, error=error)
        reached("batch.committed")
        self._limits.note(outcome.verdicts)
        self._metrics.batch_seconds.labels(self.group.name).observe(time.perf_counter() - started)
        outcome.tell(metrics=self._metrics, clock=self._context.clock, log_each=self._log_each)

    async def _commit(self, batch: Batch, *, is_isolating: bool, error: NeverEnded | None) -> Outcome:
        async with self._database.transaction() as tx:
            await tx.allow_pauses(self._longest_pause_seconds)
            items, broken, repeated = await self._admit(tx, batch)
            items = await erasures.without_erased(tx, items)
            broken = await erasures.without_their_bytes(tx, broken)
            by_handler = self._by_handler(items)
            busy = await self._busy_lanes(tx, by_handler, items)
            effects = Effects(tx, self._context, schedule=self._schedule, busy=busy, tracing=self._tracing)
            async with tx.running_ahead():
                await self._have_effects(tx, effects, by_handler, is_isolating=is_isolating, error=error)
                letters = [self._leftovers.unread(each) for each in broken if self._keeps(each)]
                letters += [self._leftovers.given_up(each) for each in effects.failed if each.wait_seconds is None]
                await tasks.add(tx, [self._leftovers.task(each) for each in effects.later])
                await dead_letters.add(tx, letters)
                await self._marks.close(tx, batch.messages)
                fresh = [*(each.message for each in items), *(each.message for each in broken)]
                verdicts = _verdicts(fresh, effects, letters)
                if not is_isolating:
                    await self._catch_up(tx)
            await self._stop_if_too_much(tx, effects, verdicts)
            reached("batch.effects_done")
        return Outcome(self.group.name, batch, effects, letters, repeated, verdicts)

    async def _have_effects(
        self,
        tx: Transaction,
        effects: Effects,
        by_handler: Mapping[str, Sequence[Item]],
        *,
        is_isolating: bool,
        error: NeverEnded | None,
    ) -> None:
        for name, handler in self._handlers.items():  # the table's order, the same in every process: no deadlock
            if isinstance(handler, Outside):
                if handler.lanes is not None and not is_isolating:
                    await self._catch_up(tx)
                await effects.leave(handler, by_handler[name])
            elif error is not None:
                effects.give_up(handler, by_handler[name], error)
            elif is_isolating:
                await effects.isolate(handler, by_handler[name])
            else:
                await effects.record(handler, by_handler[name])

    async def _catch_up(self, tx: Transaction) -> None:
        """Wait for what the handlers have sent, no longer than they may take: whose it is, the isolation finds out."""
        await call(tx.catch_up, timeout_seconds=self._longest_seconds)

    async def _stop_if_too_much(self, tx: Transaction, effects: Effects, verdicts: Sequence[Verdict]) -> None:
        """Decided with the batch that passes a limit: it is kept, and nothing comes after it."""
        if not any(verdict is not Verdict.FINE for verdict in verdicts):
            return
        parked = {each.handler.name for each in effects.failed if each.wait_seconds is not None}
        users = await tasks.most_parked_users(tx, parked) if parked else 0
        if reason := self._limits.passed_with(verdicts, parked_users=users):
            await stops.add(tx, self.group.name, reason)

    async def _admit(self, tx: Transaction, batch: Batch) -> tuple[list[Item], list[Broken], int]:
        """What this group has not seen yet, each once and in order; and how many messages were repetitions."""
        wanted = [item for item in batch.items if type(item.event) in self.group.handlers]
        items = {item.event.id: item for item in reversed(wanted)}  # of two with one id the first one counts
        broken = {each.message.fallback_id: each for each in batch.broken}
        if not items and not broken:
            return [], [], 0
        fresh = await inbox.admit(tx, self.group.name, [*items, *broken])
        is_all = len(fresh) == len(wanted) + len(broken)  # nearly always: none came before, and none came twice
        return (
            wanted if is_all else [item for item in wanted if item.event.id in fresh and items[item.event.id] is item],
            [each for id_, each in broken.items() if id_ in fresh],
            len(wanted) + len(batch.broken) - len(fresh),
        )

    def _keeps(self, broken: Broken) -> bool:
        """Of a topic's groups one keeps what nobody can read; what killed a process of this group is its own."""
        return self.group.keeps_unreadable or isinstance(broken.error, NeverEnded)

    def _by_handler(self, items: Sequence[Item]) -> Mapping[str, list[Item]]:
        """The events of each handler, whatever their types, in the order in which they came."""
        found: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            for handler in self.group.handlers[type(item.event)]:
                found[handler.name].append(item)
        return found

    async def _busy_lanes(
        self, tx: Transaction, by_handler: Mapping[str, Sequence[Item]], items: Sequence[Item]
    ) -> set[Lane]:
        names = [name for name in by_handler if isinstance(self._handlers[name], Record)]
        users = {item.event.user_id for item in items}
        return await tasks.busy_lanes(tx, names, users) if names else set()


def _verdicts(messages: Sequence[Received], effects: Effects, letters: Sequence[DeadLetter]) -> list[Verdict]:
    """What came of each of these messages, in the order in which they were read."""
    parked = {(each.item.message.partition, each.item.message.offset) for each in effects.failed}
    dead = {(letter.partition, letter.offset) for letter in letters}
    if not parked and not dead:
        return [Verdict.FINE] * len(messages)
    places = sorted((message.partition, message.offset) for message in messages)
    return [Verdict.DEAD if each in dead else Verdict.PARKED if each in parked else Verdict.FINE for each in places]
