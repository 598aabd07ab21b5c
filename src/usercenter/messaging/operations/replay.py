"""A replay at work: the handlers of one group run again, or at last, for events of event_log.

The events are taken in their order, up to 500 at a time. The effects of a batch, the tasks and dead letters that it
leaves, and how far the replay has come are one transaction; so a replay that is killed goes on where it was, and an
event is done once by it. Whoever is at a replay gives a sign of life with each batch, and asks under a lock whether it
still is the one; a second process is refused, or takes over when the first one has long been silent.

Replayed events are not new to the inbox, and are not asked of it. Events that were missing are: they are admitted with
their effects, so the group and the replay cannot both handle one. Everything else is as in the router: record handlers
get all their events at once; an event that fails is parked in its lane; outside handlers become tasks, under the
event's id.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from uuid import UUID, uuid4

import structlog

from usercenter.db import Database, Transaction, is_transient
from usercenter.events import Registry, Undecodable, UnknownType
from usercenter.messaging import dead_letters, erasures, inbox, tasks
from usercenter.messaging.batch import Item, Received
from usercenter.messaging.effects import Effects, concerns_the_batch
from usercenter.messaging.groups import Context, Group, Handler, Outside, Record, Schedule
from usercenter.messaging.leftovers import Leftovers
from usercenter.messaging.operations import replays
from usercenter.messaging.operations.replays import Counts, Next, Replay
from usercenter.messaging.tasks import Lane

log = structlog.get_logger()

BATCH: Final = 500
_NOWHERE: Final = -1
"""The partition and offset of an event that comes from event_log."""
_LONGEST_WAIT_SECONDS: Final = 10.0


class Replaying:
    """One process at one replay."""

    def __init__(
        self,
        replay_id: UUID,
        *,
        database: Database,
        groups: Sequence[Group],
        registry: Registry,
        context: Context,
        topics: Mapping[str, str],
        schedule: Schedule,
        tell: Callable[[Replay], None] = lambda replay: None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._id = replay_id
        self._owner = uuid4()
        self._database = database
        self._groups = {group.name: group for group in groups}
        self._registry = registry
        self._context = context
        self._topics = topics
        self._schedule = schedule
        self._tell = tell
        self._pause = pause
        self._now = now

    async def run(self) -> Replay:
        """Work until it is done, paused, or taken over; returns where it then stands. An absent database is waited for.

        Raises ReplayUnknown, and ReplayBusy when another process is at it. A cancellation pauses it between batches.
        """
        async with self._database.transaction() as tx:
            replay = await replays.take(tx, self._id, owner=self._owner)
        log.info("replay.begun", replay=str(self._id), group=replay.group, handlers=replay.handlers, left=_left(replay))
        try:
            await self._until_over()
        finally:
            async with self._database.transaction() as tx:
                await replays.let_go(tx, self._id, owner=self._owner)
                replay = await replays.find(tx, self._id)
            log.info("replay.over", replay=str(self._id), state=replay.state, done=replay.done, failed=replay.failed)
        return replay

    async def _until_over(self) -> None:
        wait_seconds = 0.1
        while True:
            began = self._now()
            try:
                replay, taken = await self._batch()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("replay.waits", replay=str(self._id), error=type(error).__name__)
                await self._pause(wait_seconds)
                wait_seconds = min(_LONGEST_WAIT_SECONDS, wait_seconds * 2)
                continue
            wait_seconds = 0.1
            if replay is None or not taken:
                return
            self._tell(replay)
            if replay.rate:
                await self._pause(max(0.0, taken / replay.rate - (self._now() - began)))

    async def _batch(self) -> tuple[Replay | None, int]:
        """Do the next events; where it stands then, and how many they were. None when it is no longer ours."""
        try:
            return await self._commit(is_isolating=False)
        except Exception as error:
            if concerns_the_batch(error):
                raise
            log.warning("replay.batch_isolated", replay=str(self._id), error=type(error).__name__)
            return await self._commit(is_isolating=True)

    async def _commit(self, *, is_isolating: bool) -> tuple[Replay | None, int]:
        letters: list[dead_letters.DeadLetter] = []
        async with self._database.transaction() as tx:
            replay = await replays.still_mine(tx, self._id, owner=self._owner)
            if replay is None:
                return None, 0
            events = await replays.next_events(tx, replay, limit=min(BATCH, replay.rate or BATCH))
            if not events:
                await replays.end(tx, self._id)
                return replay, 0
            group = self._group_of(replay)
            items = await self._admitted(tx, replay, events, self._items(events, group))
            effects = await self._effects(tx, replay, group, items, is_isolating=is_isolating)
            leftovers = Leftovers(group)
            await tasks.add(tx, [leftovers.task(each) for each in effects.later])
            letters = [leftovers.given_up(each) for each in effects.failed if each.wait_seconds is None]
            await dead_letters.add(tx, letters)
            failed = len({each.item.event.id for each in effects.failed})
            counts = Counts(events[-1].n, len(items) - failed, failed, len(events) - len(items))
            replay = await replays.advance(tx, replay, counts)
        dead_letters.announce(letters)
        return replay, len(events)

    def _group_of(self, replay: Replay) -> Group:
        try:
            return self._groups[replay.group]
        except KeyError:
            raise replays.ReplayBusy(f"this configuration has no group {replay.group!r} any more") from None

    def _items(self, events: Sequence[Next], group: Group) -> list[Item]:
        """The events that today's code can read; those of erased users say nothing any more."""
        found = []
        for each in events:
            try:
                event = self._registry.decode(each.payload)
            except (Undecodable, UnknownType):
                continue
            key = str(each.user_id).encode()
            topic = self._topics[group.stream]
            found.append(Item(event, Received(topic, _NOWHERE, _NOWHERE, key, each.payload, {})))
        return found

    async def _admitted(
        self, tx: Transaction, replay: Replay, events: Sequence[Next], items: Sequence[Item]
    ) -> list[Item]:
        """Those that may have an effect; of missing events those that the group has not handled meanwhile."""
        if replay.is_missing:
            fresh = await inbox.admit(tx, replay.group, [each.event_id for each in events])
            items = [item for item in items if item.event.id in fresh]
        return await erasures.without_erased(tx, items)

    async def _effects(
        self, tx: Transaction, replay: Replay, group: Group, items: Sequence[Item], *, is_isolating: bool
    ) -> Effects:
        by_handler = _by_handler(group, items, replay.handlers)
        handlers = {each.name: each for each in group.all_handlers() if each.name in by_handler}
        busy = await _busy_lanes(tx, handlers, by_handler)
        effects = Effects(tx, self._context, schedule=self._schedule, busy=busy)
        for name, handler in handlers.items():
            if isinstance(handler, Outside):
                await effects.leave(handler, by_handler[name])
            elif is_isolating:
                await effects.isolate(handler, by_handler[name])
            else:
                await effects.record(handler, by_handler[name])
        return effects


def _by_handler(group: Group, items: Sequence[Item], wanted: Sequence[str]) -> Mapping[str, list[Item]]:
    found: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        for handler in group.handlers.get(type(item.event), ()):
            if handler.name in wanted:
                found[handler.name].append(item)
    return found


async def _busy_lanes(
    tx: Transaction, handlers: Mapping[str, Handler], by_handler: Mapping[str, Sequence[Item]]
) -> set[Lane]:
    names = [name for name, handler in handlers.items() if isinstance(handler, Record)]
    users = {item.event.user_id for name in names for item in by_handler[name]}
    return await tasks.busy_lanes(tx, names, users) if names else set()


def _left(replay: Replay) -> int:
    return replay.total - replay.position
