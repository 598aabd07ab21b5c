"""The task runner: many users at once, each lane in order, attempts counted before they are made.

It leases shards as the relay does, holds a few due tasks of each lane in memory, claims the heads of the lanes in sets
and a little ahead of the free slots, runs them side by side, and notes their ends in sets. No transaction is open while
a handler talks to the world. What is claimed and no longer covered by the lease is given back, not begun.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import structlog

from usercenter.db import Transaction, is_transient
from usercenter.messaging import tasks
from usercenter.messaging.attempts import NoLongerOurs
from usercenter.messaging.calls import cut_short
from usercenter.messaging.endings import Done, Endings, Failed
from usercenter.messaging.equipment import Equipment
from usercenter.messaging.gates import Gates
from usercenter.messaging.groups import Handler, NotYet
from usercenter.messaging.intake import EARLY_SECONDS, Intake
from usercenter.messaging.lanes import Lanes
from usercenter.messaging.open_breakers import OpenBreaker
from usercenter.messaging.tasks import Lane, Task

log = structlog.get_logger()

_CLAIM_AHEAD: Final = 4  # claimed tasks for each slot: the slots are never empty while a turn is on its way
_LOOK_AT_LEASE_SECONDS: Final = 0.1
_POLLS_MISSED_WHEN_AWAY: Final = 5


class Runner:
    """Works off this process's shards of the tasks."""

    def __init__(self, equipment: Equipment, *, handlers: Mapping[str, Handler]) -> None:
        self._settings = equipment.config.tasks
        self._database = equipment.database
        self._leases = equipment.leases
        self._attempts = equipment.attempts(handlers)
        self._ledger = equipment.ledger(handlers)
        self._holds = equipment.holds(handlers)
        self._wake = self._database.signal(tasks.SIGNAL)
        slots, window = self._settings.concurrent_lanes, self._settings.window
        self._capacity = min(slots * _CLAIM_AHEAD, window)
        self._gates = Gates(handlers, equipment.context, slots=slots, window=window)
        self._lanes = Lanes(per_lane=max(1, window // (2 * slots)), most_taken=self._gates.most_in_hand)
        monotonic = equipment.context.clock.monotonic
        self._intake = Intake(self._lanes, holds=self._holds, gates=self._gates, window=window, monotonic=monotonic)
        self._claimed: deque[Task] = deque()
        self._running: dict[Lane, asyncio.Task[str]] = {}
        self._endings = Endings()
        self._in_doubt: set[int] = set()
        """Positions whose claim failed at the commit, or was cancelled there: nobody knows whether it stands."""
        self._is_stopping = False
        self._leases.finish_before_release(self._lanes.busy_shards)

    def problems(self) -> list[str]:
        """The handlers that have stopped, and what to do."""
        return self._holds.problems()

    def notes(self) -> list[str]:
        """The handlers that are left alone for a while, because their other side fails."""
        return self._holds.notes()

    def open_breakers(self) -> list[OpenBreaker]:
        """The same, with their times."""
        return self._holds.open_breakers()

    async def run(self) -> None:
        """Work until cancelled; an absent database is waited for."""
        watch = asyncio.create_task(self._watch_lease(), name="tasks.lease")
        this = asyncio.current_task()
        try:
            while this and not this.cancelling():  # Python 3.11 may swallow a cancellation while the pool is waited for
                await self._step()
        finally:
            watch.cancel()
        raise asyncio.CancelledError

    async def close(self, *, timeout_seconds: float) -> None:
        """After `run` was cancelled: let running handlers finish, at most so long, and note what they did.

        Then they are cancelled; one that does not end even so is left behind. May be called twice.
        """
        self._is_stopping = True
        self._endings.interrupted += self._claimed
        self._claimed.clear()
        if self._running:
            _, late = await asyncio.wait(self._running.values(), timeout=timeout_seconds)
            await cut_short(late)
        try:
            await self._turn()
        except Exception as error:
            if not is_transient(error):
                raise
            log.error("tasks.ends_not_noted", error=type(error).__name__, next="these tasks will be done again")

    async def _step(self) -> None:
        try:
            is_idle = await self._turn()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("tasks.database_unavailable", error=type(error).__name__)
            await asyncio.sleep(self._settings.idle_poll_ms / 1000 * _POLLS_MISSED_WHEN_AWAY)
        else:
            if is_idle:
                pause = self._settings.idle_poll_ms / 1000
                await self._wake.wait(min(pause, EARLY_SECONDS) if self._intake.was_early else pause)

    async def _turn(self) -> bool:
        """One transaction: note what ended, fetch what is due, claim what may run. Says whether to wait now."""
        endings, self._endings = self._endings, Endings()
        room = 0 if self._is_stopping else self._capacity - self._lanes.taken + len(endings)
        if not endings and not room and not self._in_doubt:
            return True
        heads: dict[int, Lane] = {}
        try:
            async with self._database.transaction() as tx:
                await self._clear_doubt(tx)
                parked, letters = await self._ledger.note(tx, endings)
                await self._holds.stop_if_too_much(tx, endings, letters)
                await self._holds.look(tx)
                has_moved = await self._intake.fetch(tx, room=room, owned=self._leases.owned())
                heads = self._lanes.take(room, self._leases.owned())  # from here on their shards are not let go
                claimed = await tasks.claim(tx, owner=self._leases.owner, positions=heads) if heads else []
        except BaseException:
            self._endings.put_back(endings)
            self._lanes.drop(heads.values())
            self._in_doubt.update(heads)
            raise
        self._in_doubt.clear()
        self._settle(endings, heads, claimed)
        self._holds.count(endings, letters)
        self._ledger.tell(endings, parked, letters)
        return not (endings or claimed or has_moved)

    async def _clear_doubt(self, tx: Transaction) -> None:
        if self._in_doubt:
            await tasks.unclaim(tx, owner=self._leases.owner, positions=self._in_doubt)

    def _settle(self, endings: Endings, heads: Mapping[int, Lane], claimed: Sequence[Task]) -> None:
        """What the transaction said is committed: let lanes go, and begin what was claimed."""
        for lane in endings.done_lanes():
            self._lanes.release(lane)
        self._lanes.drop(endings.stopped_lanes())
        refused = heads.keys() - {task.position for task in claimed}  # another owner by now, or an earlier task
        self._lanes.drop([heads[position] for position in refused])
        self._claimed.extend(claimed)
        self._begin()

    def _begin(self) -> None:
        """Fill the free slots; the lease is looked at once more, just before: a process that was frozen stops here."""
        owned = self._leases.owned()
        while len(self._running) < self._settings.concurrent_lanes and (task := self._next()):
            if task.shard in owned and not self._is_stopping and not self._holds.is_held(task.handler):
                attempt = asyncio.create_task(self._attempts.make(task), name=task.handler)
                attempt.add_done_callback(partial(self._end, task, time.perf_counter()))
                self._running[task.lane] = attempt
                self._gates.enter(task.handler)
            else:
                self._endings.interrupted.append(task)

    def _next(self) -> Task | None:
        """Take the first claimed task whose handler has a place."""
        for number, task in enumerate(self._claimed):
            if self._gates.may_enter(task.handler):
                del self._claimed[number]
                return task
        return None

    def _end(self, task: Task, started: float, attempt: asyncio.Task[str]) -> None:
        """The lane stays taken until the next turn has noted the end."""
        del self._running[task.lane]
        error = None if attempt.cancelled() else attempt.exception()
        seconds = time.perf_counter() - started
        self._gates.leave(task.handler, None if attempt.cancelled() or isinstance(error, NotYet) else seconds)
        if not attempt.cancelled():
            self._holds.note(task, error)
        if attempt.cancelled() or isinstance(error, NoLongerOurs):
            self._endings.interrupted.append(task)
        elif error is not None:
            self._endings.failed.append(Failed(task, error))
        else:
            self._endings.done.append(Done(task, seconds, attempt.result()))
        self._begin()
        self._wake.set()

    async def _watch_lease(self) -> None:
        """Once the lease cannot be trusted any more another process may take over: stop before it can."""
        before: frozenset[int] = frozenset()
        while True:
            owned = self._leases.owned()
            if owned != before:
                before = owned
                self._lanes.keep_only(owned)
                if not owned:
                    log.warning("tasks.lease_lost", interrupted=len(self._running))
                    for attempt in self._running.values():
                        attempt.cancel()
            await asyncio.sleep(_LOOK_AT_LEASE_SECONDS)
