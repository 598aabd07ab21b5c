"""One process of the simulation: the service's own relay, leases, router, runner and sets, behind doors that shut."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec.structs import replace
from simulation.loop import OWNER
from simulation.tables import Connection, Tables

from usercenter.config.model import Config
from usercenter.db import Database, DatabaseUnavailable, Signal, Transaction, is_transient
from usercenter.events import Registry, UserUpdated
from usercenter.messaging.batch import Received
from usercenter.messaging.equipment import Equipment
from usercenter.messaging.groups import Context, Schedule, handlers_by_name, in_sets
from usercenter.messaging.leases import Leases
from usercenter.messaging.router import Router
from usercenter.messaging.runner import Runner
from usercenter.messaging.stops import Stopped

if TYPE_CHECKING:
    from simulation.system import System

TOPIC: Final = "user.events"
SCHEDULE: Final = Schedule(attempts=6, first_seconds=0.05, longest_seconds=0.4)
REGISTRY: Final = Registry([UserUpdated])
LEASE_SECONDS: Final = 4.0

_plain = Config()
CONFIG: Final = replace(
    _plain,
    relay=replace(_plain.relay, idle_poll_ms=400, batch_messages=8),
    tasks=replace(_plain.tasks, idle_poll_ms=400, concurrent_lanes=3, window=12),
    logging=replace(_plain.logging, each_event_up_to=0),
)


class Killed(BaseException):
    """What a dead process gets at every door of the world."""


class SimulatedDatabase:
    """The tables as one process sees them: slow, away, or silent about what became of a commit."""

    def __init__(self, system: "System", process: "Process") -> None:
        self._system = system
        self._process = process
        self._signals: dict[str, Signal] = {}

    def signal(self, name: str) -> Signal:
        return self._signals.setdefault(name, Signal())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        await self._step()
        connection = _Slow(self._system.tables, self._step)
        tx = Transaction(cast("Any", connection))
        try:
            yield tx
            await self._step()
            if self._system.lost_commits > 0:
                self._system.lost_commits -= 1
                if self._system.random.random() < 0.5:
                    connection.commit()
                raise DatabaseUnavailable("the connection was lost at the commit")
            connection.commit()
            for name in tx.to_wake:
                self.signal(name).set()
        finally:
            connection.end()

    async def run_alone(self, query: Any, parameters: Any = None) -> list[Any]:
        async with self.transaction() as tx:
            return await tx.fetch_all(query, parameters)

    async def _step(self) -> None:
        await self._process.may_go_on()
        await asyncio.sleep(self._system.random.uniform(0, 0.005))
        await self._process.may_go_on()
        if self._system.is_database_down:
            raise DatabaseUnavailable("it is away")


class _Slow(Connection):
    def __init__(self, tables: Tables, step: Callable[[], Any]) -> None:
        super().__init__(tables)
        self._step = step

    async def execute(self, query: str, parameters: Any = None) -> Any:
        await self._step()
        return await super().execute(query, parameters)


class Process:
    """One process with relay, runner, sets, and a reader for each partition that the group gives it."""

    def __init__(self, system: "System") -> None:
        self.is_dead = False
        self._system = system
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loops: set[asyncio.Task[Any]] = set()
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._readers: dict[int, asyncio.Task[None]] = {}
        self.database = cast("Database", SimulatedDatabase(system, self))
        token = OWNER.set(self)
        try:
            self._start()
        finally:
            OWNER.reset(token)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """It ends with this process; one that fails before is told."""
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.is_dead and task in self._loops:
            self._system.broken.append(error)

    async def may_go_on(self) -> None:
        """Through a door to the world: wait while frozen. Raises Killed when dead."""
        await self._thawed.wait()
        if self.is_dead:
            raise Killed

    def freeze(self) -> None:
        """As SIGSTOP: nothing that it does reaches the world until it is thawed."""
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    async def kill(self) -> None:
        """As SIGKILL: whatever it does from here on has no effect."""
        self.is_dead = True
        self._thawed.set()
        while self._tasks:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.wait(self._tasks)

    def assign(self, partitions: set[int]) -> None:
        """Read these, and (after the batch in hand) no others."""
        token = OWNER.set(self)
        for number in partitions - self._readers.keys():
            self._readers[number] = asyncio.create_task(self._read(number))
            self._loops.add(self._readers[number])
        OWNER.reset(token)
        for number in self._readers.keys() - partitions:
            del self._readers[number]  # it sees so after the batch in hand

    def _start(self) -> None:
        system, clock = self._system, self._system.clock
        for kind in ("relay", "tasks"):
            leases = Leases(
                kind, database=self.database, clock=clock, metrics=system.metrics, lease_seconds=LEASE_SECONDS
            )
            workers = [self._relay(leases)] if kind == "relay" else self._workers(leases)
            for coroutine in (leases.keep(), *(each.run() for each in workers)):
                self._loops.add(asyncio.create_task(coroutine))
        self._router = Router(
            system.group,
            registry=REGISTRY,
            database=self.database,
            context=Context(clock=clock),
            config=CONFIG,
            schedule=SCHEDULE,
            metrics=system.metrics,
        )

    def _relay(self, leases: Leases) -> Any:
        return self._system.make_relay(
            CONFIG,
            database=self.database,
            leases=leases,
            topics={"user_events": TOPIC, "user_events.dlq": f"{TOPIC}.dlq"},
            clock=self._system.clock,
            metrics=self._system.metrics,
            make_producer=self._system.broker.producer,
        )

    def _workers(self, leases: Leases) -> list[Any]:
        """The runner and the sets, on the same leases."""
        equipment = Equipment(
            config=CONFIG,
            registry=REGISTRY,
            database=self.database,
            leases=leases,
            context=Context(clock=self._system.clock),
            streams={TOPIC: "user_events"},
            schedule=SCHEDULE,
            metrics=self._system.metrics,
        )
        handlers = handlers_by_name([self._system.group])
        together = in_sets(handlers)
        alone = {name: each for name, each in handlers.items() if name not in together}
        return [Runner(equipment, handlers=alone), self._system.make_sets(equipment, handlers=together)]

    async def _read(self, number: int) -> None:
        """A member of the group: a batch, its transaction, and only then its offset, committed now and then."""
        broker, place = self._system.broker, (self._system.group.name, TOPIC, number)
        position = broker.committed[place]
        this = asyncio.current_task()
        while self._readers.get(number) is this:
            await self.may_go_on()
            batch = broker.logs[TOPIC, number][position : position + broker.random.randint(1, 6)]
            if not batch:
                await asyncio.sleep(0.1)
                continue
            if self._system.is_offset_first:
                broker.committed[place] = position + len(batch)
            if not await self._handle(batch):
                continue
            position += len(batch)
            await self.may_go_on()
            if self._readers.get(number) is this and broker.random.random() < 0.6:  # the broker hears of it later
                broker.committed[place] = max(broker.committed[place], position)

    async def _handle(self, batch: Sequence[Received]) -> bool:
        try:
            await self._router.handle(batch)
        except Exception as error:
            if not (is_transient(error) or isinstance(error, Stopped)):
                raise
            await asyncio.sleep(0.1)
            return False
        return True
