"""Several processes and the world around them: what is written, what breaks, and what must hold in the end."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast
from uuid import UUID

from simulation.broker import PARTITIONS, Broker
from simulation.loop import OWNER, VirtualLoop
from simulation.process import TOPIC, Process
from simulation.tables import Connection, Tables

from usercenter.clock import Clock
from usercenter.db import Transaction
from usercenter.events import Event, UserUpdated
from usercenter.messaging import outbox
from usercenter.messaging.groups import Context, Group, NotYet, outside, record
from usercenter.messaging.relay import Relay
from usercenter.messaging.sets import Sets
from usercenter.metrics import Metrics

START = datetime(2030, 1, 1, tzinfo=UTC)
USERS = [UUID(int=number) for number in range(1, 5)]
DRAIN_SECONDS = 120.0
NOT_YET_SHARE = 0.05
"""Of the calls of the handler that takes sets."""


class LoopClock:
    """The virtual time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        return self._loop.time()


class System:
    """Processes that come and go, the world around them, and what must hold in the end."""

    def __init__(self, loop: VirtualLoop, *, seed: int, make_relay: Callable[..., Any] = Relay) -> None:
        self.loop = loop
        self.random = Random(seed)  # noqa: S311  # a schedule that can be run again
        self.clock: Clock = LoopClock(loop)
        self.metrics = Metrics()
        self.tables = Tables(self.clock.now)
        self.broker = Broker(self.random)
        self.make_relay = make_relay
        self.make_sets: Callable[..., Sets] = Sets
        self.is_database_down = False
        self.lost_commits = 0
        self.is_offset_first = False
        """A planted bug: the offset is committed before the batch is handled."""
        self.failures: Counter[str] = Counter()
        """How often each handler is still to fail."""
        self.calls: list[tuple[str, UUID, UUID]] = []
        """What outside handlers did: handler, user, event; the world remembers, whatever dies."""
        self.written: dict[UUID, list[Event]] = defaultdict(list)
        self.processes: list[Process] = []
        self.broken: list[BaseException] = []
        """What ended a loop that should never end."""
        handlers = record(self.settle), outside(self.tell), outside(self.inform, together=self.inform_all)
        self.group = Group("usercenter", "user_events", {UserUpdated: handlers})
        self._ids = 0

    async def settle(self, events: Sequence[UserUpdated], tx: Transaction, context: Context) -> None:
        """The record handler: one row for each event."""
        del context
        for event in events:
            await tx.execute("insert into effects", ("settle", event.id, event.user_id))
        self._fail("settle")

    async def tell(self, event: UserUpdated, context: Context) -> None:
        """The outside handler: one call for each event."""
        del context
        process = OWNER.get()
        await process.may_go_on()
        await asyncio.sleep(self.random.uniform(0, 0.05))
        await process.may_go_on()
        self._fail("tell")
        self.calls.append(("tell", event.user_id, event.id))
        await asyncio.sleep(self.random.uniform(0, 0.05))

    async def inform(self, event: UserUpdated, context: Context) -> None:
        """The outside handler that takes many: one event of them."""
        await self.inform_all([event], context)

    async def inform_all(self, events: Sequence[UserUpdated], context: Context) -> None:
        """All of them, one after the other: it may fail, and its process may end, in the midst of them."""
        del context
        process = OWNER.get()
        await process.may_go_on()
        if self.random.random() < NOT_YET_SHARE:
            raise NotYet(self.random.uniform(0, 0.5))
        for event in events:
            await asyncio.sleep(self.random.uniform(0, 0.02))
            await process.may_go_on()
            self._fail("inform")
            self.calls.append(("inform", event.user_id, event.id))
        await asyncio.sleep(self.random.uniform(0, 0.05))

    def _fail(self, handler: str) -> None:
        if self.failures[handler] > 0:
            self.failures[handler] -= 1
            raise RuntimeError("this attempt fails on purpose")

    async def write(self, user_id: UUID, *, number: int = 1, seconds: float = 0.0) -> None:
        """Changes of a user, each a transaction of its own; the last one is so long between its insert and its commit.

        The lock of the user's row is held from the insert to the commit, as every path of the service does.
        """
        for left in reversed(range(number)):
            connection = Connection(self.tables)
            await connection.lock("users", user_id, patience_seconds=3600)
            event = self._next_event(user_id)
            await outbox.add(Transaction(cast("Any", connection)), event)
            if seconds and not left:
                await asyncio.sleep(seconds)
            self.written[user_id].append(event)
            connection.commit()

    def _next_event(self, user_id: UUID) -> UserUpdated:
        self._ids += 1
        return UserUpdated(
            id=UUID(int=2**64 + self._ids),
            timestamp=self.clock.now(),
            user_id=user_id,
            sequence=len(self.written[user_id]) + 1,
            username="ada",
            email="ada@example.com",
            changes={},
        )

    def start(self) -> None:
        """One process more."""
        self.processes.append(Process(self))
        self.rebalance()

    async def kill(self, process: Process) -> None:
        """One less, at once."""
        self.processes.remove(process)
        await process.kill()
        self.rebalance()

    def rebalance(self) -> None:
        """Share the partitions out anew; who loses one may still be in the middle of a batch of it."""
        shares: dict[int, set[int]] = defaultdict(set)
        for number in range(PARTITIONS):
            if self.processes:
                shares[self.random.randrange(len(self.processes))].add(number)
        for index, process in enumerate(self.processes):
            process.assign(shares[index])

    async def drain(self) -> None:
        """Everything works again; wait until nothing is left to do. Raises AssertionError when that does not come."""
        self.is_database_down = self.broker.is_down = False
        self.lost_commits = self.broker.lost_answers = self.broker.refusals = 0
        self.failures.clear()
        for process in self.processes:
            process.thaw()
        if not self.processes:
            self.start()
        end = self.loop.time() + DRAIN_SECONDS
        while (waiting := self._unfinished()) and not self.broken:
            assert self.loop.time() < end, f"nothing happens any more to {waiting}"
            await asyncio.sleep(0.25)

    def _unfinished(self) -> dict[str, int]:
        published = sum(len(events) for events in self.written.values())
        admitted = len(self.tables.rows["inbox"])
        levels = {
            "outbox": len(self.tables.rows["outbox"]),
            "tasks": len(self.tables.rows["tasks"]),
            "on Kafka": max(0, published - admitted) if not self._is_read() else 0,
        }
        return {name: number for name, number in levels.items() if number}

    def _is_read(self) -> bool:
        seen = {key[1] for key in self.tables.rows["inbox"]}
        at_end = all(
            self.broker.committed[self.group.name, TOPIC, number] >= len(self.broker.logs[TOPIC, number])
            for number in range(PARTITIONS)
        )
        return at_end or seen >= {UUID(message.headers["ce_id"]) for message in self.broker.topic(TOPIC)}

    def check(self) -> None:
        """Nothing lost, nothing invented, each effect once, everything in each user's order."""
        if self.broken:
            raise self.broken[0]
        letters = {(row["handler"], row["event_id"]) for row in self.tables.rows["dead_letters"].values()}
        for user_id, events in self.written.items():
            ids = [event.id for event in events]
            assert _firsts(self._on_kafka(user_id)) == ids, "Kafka: a message lost, invented or out of order"
            told, informed = _firsts(self._calls("tell", user_id)), _firsts(self._calls("inform", user_id))
            informed = [id_ for id_ in informed if ("inform", id_) not in letters]  # a set that failed has done a part
            for handler, seen in (("settle", self._effects(user_id)), ("tell", told), ("inform", informed)):
                expected = [id_ for id_ in ids if (handler, id_) not in letters]
                assert seen == expected, f"{handler}: an effect lost, doubled or out of order"

    def _on_kafka(self, user_id: UUID) -> list[UUID]:
        key = str(user_id).encode()
        return [UUID(message.headers["ce_id"]) for message in self.broker.topic(TOPIC) if message.key == key]

    def _effects(self, user_id: UUID) -> list[UUID]:
        rows = sorted(self.tables.rows["effects"].items())
        return [row["event_id"] for _, row in rows if row["user_id"] == user_id]

    def _calls(self, handler: str, user_id: UUID) -> list[UUID]:
        return [event_id for name, of, event_id in self.calls if (name, of) == (handler, user_id)]


def _firsts(ids: Sequence[UUID]) -> list[UUID]:
    return list(dict.fromkeys(ids))
