"""The tasks of handlers that take many at once (`outside(…, together=…)`): claimed, done and struck off in sets.

Beside the task runner, with the same leases, counted attempts and ends, and with the same order in each lane; a set may
hold several tasks of one lane, in their order. When a set fails, nobody knows whose fault it is: each of its tasks is
then done by itself, in the same attempt. One that failed before, or whose process ended, is never in a set.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from usercenter.db import is_transient
from usercenter.messaging import set_queries, tasks
from usercenter.messaging.calls import cut_short
from usercenter.messaging.endings import Done, Endings, Failed
from usercenter.messaging.equipment import Equipment
from usercenter.messaging.groups import NotYet, Outside
from usercenter.messaging.tasks import Lane, Task

log = structlog.get_logger()

AT_ONCE: Final = 500
"""Tasks in one set, at most."""
_LOOK_AT_LEASE_SECONDS: Final = 0.1
_POLLS_MISSED_WHEN_AWAY: Final = 5


class Sets:
    """Works off this process's shards of those tasks, one set after the other."""

    def __init__(self, equipment: Equipment, *, handlers: Mapping[str, Outside]) -> None:
        self._settings = equipment.config.tasks
        self._database = equipment.database
        self._leases = equipment.leases
        self._clock = equipment.context.clock
        self._attempts = equipment.attempts(handlers)
        self._ledger = equipment.ledger(handlers)
        self.holds = equipment.holds(handlers)
        """What is left alone for now."""
        self._wake = self._database.signal(tasks.SETS_SIGNAL)
        self._endings = Endings()
        self._in_doubt: set[int] = set()
        """Positions whose claim failed at the commit: nobody knows whether it stands."""
        self._postponed: dict[int, datetime] = {}
        self._busy: frozenset[int] = frozenset()
        self._in_hand: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._leases.finish_before_release(lambda: self._busy)

    async def run(self) -> None:
        """Work until cancelled; an absent database is waited for."""
        this = asyncio.current_task()
        while this and not this.cancelling():  # Python 3.11 may swallow a cancellation while the pool is waited for
            try:
                claimed = await self._turn()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("tasks.database_unavailable", error=type(error).__name__)
                await asyncio.sleep(self._settings.idle_poll_ms / 1000 * _POLLS_MISSED_WHEN_AWAY)
                continue
            if claimed:
                names = ", ".join(sorted({task.handler_name for task in claimed}))
                self._in_hand = asyncio.create_task(self._attempt(claimed), name=names)
                await self._until_it_ends(self._in_hand)
            elif not self._endings:
                await self._wake.wait(self._settings.idle_poll_ms / 1000)
        raise asyncio.CancelledError

    async def close(self, *, timeout_seconds: float) -> None:
        """After `run` was cancelled: let the set in hand end, at most so long, and note it.

        Then it is cancelled; if it does not end even so it is left behind. May be called twice.
        """
        self._is_stopping = True
        if self._in_hand is not None:
            _, late = await asyncio.wait([self._in_hand], timeout=timeout_seconds)
            await cut_short(late)
        try:
            await self._turn()
        except Exception as error:
            if not is_transient(error):
                raise
            log.error("tasks.ends_not_noted", error=type(error).__name__, next="these tasks will be done again")

    async def _turn(self) -> list[Task]:
        """One transaction: note what ended, claim what comes next."""
        endings, self._endings = self._endings, Endings()
        claimed: list[Task] = []
        try:
            async with self._database.transaction() as tx:
                if self._in_doubt:
                    await tasks.unclaim(tx, owner=self._leases.owner, positions=self._in_doubt)
                parked, letters = await self._ledger.note(tx, endings)
                if self._postponed:
                    await tasks.postpone(tx, self._postponed)
                await self.holds.stop_if_too_much(tx, endings, letters)
                await self.holds.look(tx)
                names = [name for name in self.holds.running() if not self.holds.is_held(name)]
                owned = frozenset() if self._is_stopping else self._leases.owned()
                self._busy = owned  # until it is known which of them have work in hand none is let go
                if owned and names:
                    most = 1 if self.holds.broken() else AT_ONCE  # one may show whether the other side is back
                    claimed = await set_queries.claim(
                        tx, owner=self._leases.owner, handlers=names, shards=owned, limit=most
                    )
        except BaseException:
            self._endings.put_back(endings)
            self._in_doubt.update(task.position for task in claimed)
            raise
        self._in_doubt.clear()
        self._postponed.clear()
        self._busy = frozenset(task.shard for task in claimed)
        self.holds.count(endings, letters)
        self._ledger.tell(endings, parked, letters)
        return claimed

    async def _until_it_ends(self, attempt: asyncio.Task[None]) -> None:
        """Wait; once the lease cannot be trusted any more another process may take over: stop before it can."""
        while not attempt.done():
            await asyncio.wait([attempt], timeout=_LOOK_AT_LEASE_SECONDS)
            if not self._leases.owned() and not attempt.done():
                log.warning("tasks.lease_lost", interrupted=1)
                await cut_short([attempt])
                break
        if attempt.done() and not attempt.cancelled():
            attempt.result()

    async def _attempt(self, claimed: Sequence[Task]) -> None:
        """Do them; what is not begun or is interrupted is given back as if nothing had been."""
        left = {task.position: task for task in claimed}
        endings = Endings()
        try:
            owned = self._leases.owned()  # a process that was frozen stops here
            ours = [task for task in claimed if task.shard in owned]
            careful = {task.lane for task in ours if task.attempts > 1}
            for found in _by_handler([task for task in ours if task.lane not in careful]):
                # one that ignored its cancellation may have come to its end long after, when others have its share
                if still_ours := [task for task in found if self._leases.is_ours(task.shard)]:
                    await self._do_together(still_ours, endings)
            await self._do_each([task for task in ours if task.lane in careful], endings)
        finally:
            ended = {done.task.position for done in endings.done} | {failed.task.position for failed in endings.failed}
            endings.interrupted += [task for position, task in left.items() if position not in ended]
            self._endings.put_back(endings)

    async def _do_together(self, found: Sequence[Task], endings: Endings) -> None:
        started = time.perf_counter()
        try:
            request_ids = await self._attempts.make_together(found)
        except NotYet as error:
            until = self._clock.now() + timedelta(seconds=error.seconds)
            self._postponed |= {task.position: until for task in found}
        except Exception as error:  # noqa: BLE001  # whatever it is: each by itself shows whose it is
            handler = found[0].handler_name
            log.warning("tasks.set_failed", handler=handler, tasks=len(found), error=type(error).__name__)
            await self._do_each(found, endings)
        else:
            self.holds.note(found[0], None)
            seconds = (time.perf_counter() - started) / len(found)
            endings.done += [Done(task, seconds, id_) for task, id_ in zip(found, request_ids, strict=True)]

    async def _do_each(self, found: Sequence[Task], endings: Endings) -> None:
        """One by one in each lane, several lanes side by side."""
        places = asyncio.Semaphore(self._settings.concurrent_lanes)
        lanes: dict[Lane, list[Task]] = defaultdict(list)
        for task in found:
            lanes[task.lane].append(task)
        async with asyncio.TaskGroup() as group:
            for lane in lanes.values():
                group.create_task(self._do_lane(lane, endings, places))

    async def _do_lane(self, lane: Sequence[Task], endings: Endings, places: asyncio.Semaphore) -> None:
        """Until one fails: what is behind it waits with it."""
        async with places:
            for task in lane:
                if self.holds.is_held(task.handler) or not self._leases.is_ours(task.shard):
                    return
                started = time.perf_counter()
                try:
                    request_id = await self._attempts.make(task)
                except Exception as error:  # noqa: BLE001  # noted as its end
                    self.holds.note(task, error)
                    endings.failed.append(Failed(task, error))
                    return
                self.holds.note(task, None)
                endings.done.append(Done(task, time.perf_counter() - started, request_id))


def _by_handler(found: Sequence[Task]) -> list[list[Task]]:
    handlers: dict[str, list[Task]] = defaultdict(list)
    for task in found:
        handlers[task.handler_name].append(task)
    return list(handlers.values())
