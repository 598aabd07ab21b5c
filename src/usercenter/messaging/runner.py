"""The task runner: many users at once, each lane in order, attempts counted before they are made.

It leases shards as the relay does, holds a bounded window of due tasks in memory, claims the heads of the lanes in
sets, runs them side by side, and strikes them off in sets. No transaction is open while a handler talks to the world.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from itertools import islice

import structlog
from msgspec.structs import replace
from structlog.contextvars import bind_contextvars

from usercenter.config.model import Config
from usercenter.db import Database, Transaction, is_transient
from usercenter.events import Registry, UnknownType
from usercenter.messaging import dead_letters, tasks
from usercenter.messaging.dead_letters import DeadLetter
from usercenter.messaging.groups import Context, Handler, Outside, PermanentFailure, Schedule
from usercenter.messaging.leases import Leases
from usercenter.messaging.tasks import Lane, Task
from usercenter.metrics import Metrics

log = structlog.get_logger()


class NoLongerOurs(Exception):
    """The task was struck off or taken by another runner while we had it; our work on it is undone."""


class Runner:
    """Works off this process's shards of the tasks."""

    def __init__(
        self,
        config: Config,
        *,
        handlers: Mapping[str, Handler],
        registry: Registry,
        database: Database,
        leases: Leases,
        context: Context,
        streams: Mapping[str, str],
        schedule: Schedule,
        metrics: Metrics,
    ) -> None:
        self._settings = config.tasks
        self._handlers = handlers
        self._registry = registry
        self._database = database
        self._leases = leases
        self._context = context
        self._streams = streams
        self._schedule = schedule
        self._metrics = metrics
        self._wake = database.signal(tasks.SIGNAL)
        self._lanes: dict[Lane, deque[Task]] = {}
        self._known: dict[int, Task] = {}
        self._running: dict[Lane, asyncio.Task[None]] = {}
        self._done: list[Task] = []
        self._failed: list[tuple[Task, BaseException]] = []
        self._owned: frozenset[int] = frozenset()
        self._is_stopping = False
        leases.finish_before_release(self._busy_shards)

    async def run(self) -> None:
        """Work until cancelled; an absent database is waited for."""
        while True:
            try:
                is_idle = await self._turn()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("tasks.database_unavailable", error=str(error))
                await asyncio.sleep(1)
                continue
            if is_idle:
                await self._wake.wait(self._settings.idle_poll_ms / 1000)

    async def close(self, *, timeout_seconds: float) -> None:
        """After `run` was cancelled: let running handlers finish, at most so long; note what they did."""
        self._is_stopping = True
        running = list(self._running.values())
        if running:
            _, unfinished = await asyncio.wait(running, timeout=timeout_seconds)
            for each in unfinished:
                each.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        await self._turn()

    async def _turn(self) -> bool:
        """One transaction: note what ended, fetch what is due, claim what may run. Says whether to wait now."""
        done, failed = self._take_ended()
        try:
            async with self._database.transaction() as tx:
                await self._note_ended(tx, done, failed)
                fetched = 0 if self._is_stopping else await self._fetch(tx)
                claimed = [] if self._is_stopping else await self._claim(tx)
        except BaseException:
            self._done += done
            self._failed += failed
            raise
        for task in done:
            self._running.pop(task.lane, None)
            self._forget(task)
        for task, _ in failed:
            self._running.pop(task.lane, None)
            self._forget_lane(task.lane)
        for task in claimed:
            self._start(task)
        return not (done or failed or claimed or fetched)

    def _take_ended(self) -> tuple[list[Task], list[tuple[Task, BaseException]]]:
        done, self._done = self._done, []
        failed, self._failed = self._failed, []
        return done, failed

    async def _note_ended(self, tx: Transaction, done: list[Task], failed: list[tuple[Task, BaseException]]) -> None:
        if done:
            await tasks.finish(tx, [task.position for task in done])
        for task, error in failed:
            await self._note_failure(tx, task, error)

    async def _note_failure(self, tx: Transaction, task: Task, error: BaseException) -> None:
        wait = None if isinstance(error, PermanentFailure) else self._schedule_of(task).wait_seconds(task.attempts)
        facts = {"handler": task.handler, "event_id": str(task.event_id), "attempts": task.attempts}
        if wait is None:
            if await tasks.finish(tx, [task.position]):
                await dead_letters.add(tx, [self._letter(task, error)])
        else:
            await tasks.fail(tx, task, error=dead_letters.describe(error), wait_seconds=wait)
            log.warning("tasks.failed", **facts, error=error.__class__.__name__, next_attempt_in_seconds=round(wait, 1))

    async def _fetch(self, tx: Transaction) -> int:
        room = self._settings.window - len(self._known)
        owned = self._leases.owned()
        self._forget_lost(owned)
        if room <= 0 or not owned:
            return 0
        due = await tasks.due(
            tx, handlers=list(self._handlers), shards=sorted(owned), beside=list(self._known), limit=room
        )
        blocked = [task for task in due if task.blocked_until is not None]
        if blocked:
            await tasks.postpone(tx, blocked)
        for task in due:
            if task.blocked_until is None:
                self._known[task.position] = task
                self._lanes.setdefault(task.lane, deque()).append(task)
        return len(due)

    def _forget_lost(self, owned: frozenset[int]) -> None:
        if owned == self._owned:
            return
        self._owned = owned
        for lane, queue in list(self._lanes.items()):
            if queue[0].shard not in owned and lane not in self._running:
                self._forget_lane(lane)

    async def _claim(self, tx: Transaction) -> list[Task]:
        room = self._settings.concurrent_lanes - len(self._running)
        free = (queue[0] for lane, queue in self._lanes.items() if lane not in self._running)
        heads = list(islice(free, max(0, room)))
        if not heads:
            return []
        claimed = await tasks.claim(tx, owner=self._leases.owner, positions=[task.position for task in heads])
        for task in heads:
            if task.position not in claimed:
                self._forget_lane(task.lane)  # another owner, or an earlier task: seen again when it is due
        return [task._replace(attempts=claimed[task.position]) for task in heads if task.position in claimed]

    def _start(self, task: Task) -> None:
        self._running[task.lane] = asyncio.create_task(self._attempt(task), name=f"{task.handler} {task.event_id}")

    async def _attempt(self, task: Task) -> None:
        started = time.perf_counter()
        try:
            await self._run(task)
        except NoLongerOurs:
            self._done.append(task)
        except asyncio.CancelledError as error:
            self._failed.append((task, error))
            raise
        except Exception as error:  # noqa: BLE001  # it becomes the task's reason: parked, or dead
            self._failed.append((task, error))
            self._metrics.handled.labels(task.handler, "failed").inc()
        else:
            self._done.append(task)
            self._note_success(task, time.perf_counter() - started)
        finally:
            self._wake.set()  # the lane stays taken until the next turn has noted the end

    async def _run(self, task: Task) -> None:
        if task.attempts > self._schedule_of(task).attempts:
            raise PermanentFailure(f"given up: {task.attempts - 1} attempts began and none of them ended")
        try:
            event = self._registry.decode(task.payload)
        except UnknownType as error:
            raise PermanentFailure(str(error)) from error
        bind_contextvars(event_id=str(task.event_id), request_id=event.request_id)
        handler = self._handlers[task.handler]
        if isinstance(handler, Outside):
            await handler.run(event, replace(self._context, idempotency_id=task.event_id, attempt=task.attempts))
            return
        async with self._database.transaction() as tx:
            await handler.run([event], tx, self._context)
            if not await tasks.finish(tx, [task.position]):
                raise NoLongerOurs

    def _note_success(self, task: Task, seconds: float) -> None:
        delay = (self._context.clock.now() - task.occurred_at).total_seconds()
        self._metrics.handled.labels(task.handler, "done").inc()
        self._metrics.handler_seconds.labels(task.handler).observe(seconds)
        self._metrics.effect_delay.labels(task.handler).observe(max(0.0, delay))
        log.info("tasks.done", handler=task.handler, attempts=task.attempts)

    def _forget(self, task: Task) -> None:
        self._known.pop(task.position, None)
        lane = self._lanes.get(task.lane)
        if lane and lane[0].position == task.position:
            lane.popleft()
        if not lane:
            self._lanes.pop(task.lane, None)

    def _forget_lane(self, lane: Lane) -> None:
        for task in self._lanes.pop(lane, ()):
            self._known.pop(task.position, None)

    def _busy_shards(self) -> set[int]:
        return {self._lanes[lane][0].shard for lane in self._running if lane in self._lanes}

    def _schedule_of(self, task: Task) -> Schedule:
        return self._handlers[task.handler].schedule or self._schedule

    def _letter(self, task: Task, error: BaseException) -> DeadLetter:
        self._metrics.handled.labels(task.handler, "dead").inc()
        return DeadLetter(
            group=task.group,
            handler=task.handler,
            stream=self._streams[task.topic],
            topic=task.topic,
            partition=task.partition,
            offset=task.offset,
            key=str(task.user_id).encode(),
            value=task.payload,
            headers={},
            event_id=task.event_id,
            event_type=task.event_type,
            user_id=task.user_id,
            task_position=task.position,
            attempts=task.attempts,
            error=dead_letters.describe(error),
        )
