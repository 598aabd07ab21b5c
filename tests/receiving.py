"""What tests of the receiving side share: events, messages that need no Kafka, and routers and runners of their own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any, cast
from uuid import UUID

import psycopg
from harness import World, eventually
from msgspec.structs import replace

from usercenter.clock import Clock, SystemClock
from usercenter.config.model import Accounts, Analytics, Logins, Mail
from usercenter.db import Database, OutcomeUnknown, Signal, Transaction
from usercenter.events import (
    USER_EVENTS,
    Event,
    NotificationRequested,
    Registry,
    UserLoggedIn,
    UserUpdated,
    encode,
    headers_of,
    new_id,
)
from usercenter.messaging.batch import Received
from usercenter.messaging.equipment import Equipment
from usercenter.messaging.groups import Context, Group, Schedule, handlers_by_name, in_sets
from usercenter.messaging.leases import Leases
from usercenter.messaging.router import Router
from usercenter.messaging.runner import Runner
from usercenter.messaging.sets import Sets
from usercenter.metrics import Metrics
from usercenter.tracing import UNTRACED, Tracing
from usercenter.users.cache import UserCache
from usercenter.users.places import Places
from usercenter.users.pseudonyms import Pseudonyms

TOPIC = "user.events"
QUICK = Schedule(attempts=3, first_seconds=0.01, longest_seconds=0.02)
REGISTRY = Registry([*USER_EVENTS, NotificationRequested])

_offsets = count()


def login(user_id: UUID | None = None, **fields: Any) -> UserLoggedIn:
    """A login of this user, or of a new one."""
    facts = {"id": new_id(), "timestamp": datetime.now(UTC), "username": "ada", "email": "ada@example.com"}
    return UserLoggedIn(**{**facts, "user_id": user_id or new_id(), **fields})


def update(user_id: UUID, **fields: Any) -> UserUpdated:
    """A change of this user's data."""
    facts = {"id": new_id(), "timestamp": datetime.now(UTC), "username": "ada", "email": "ada@example.com"}
    return UserUpdated(**{**facts, "user_id": user_id, "changes": {}, **fields})


def message(event: Event | None = None, *, value: bytes | None = None, **fields: Any) -> Received:
    """A message with this event, or with these bytes."""
    message = Received(TOPIC, 0, next(_offsets), None, value, {})
    if event is not None:
        message = message._replace(key=str(event.user_id).encode(), value=encode(event), headers=headers_of(event))
    return message._replace(**fields)


def messages(*events: Event) -> list[Received]:
    """A message for each event."""
    return [message(event) for event in events]


class Effects:
    """Handlers that count what they do: in a table without any key, so that a second effect is seen."""

    def __init__(self) -> None:
        self.fails: Callable[[str, Event], BaseException | None] = lambda handler, event: None
        """What the handler of that name raises for that event."""
        self.calls: list[tuple[str, UUID]] = []
        """What outside handlers have finished: handler and event id, in their order."""
        self.sizes: list[int] = []

    def record(self, name: str) -> Callable[[Sequence[Event], Transaction, Context], Awaitable[None]]:
        """A record handler of this name."""

        async def handler(events: Sequence[Event], tx: Transaction, context: Context) -> None:
            self.sizes.append(len(events))
            for event in events:
                await tx.execute(
                    "insert into effects (handler, event_id, user_id) values (%s, %s, %s)",
                    (name, event.id, event.user_id),
                )
                self._fail(name, event)

        handler.__name__ = name
        return handler

    def outside(self, name: str) -> Callable[[Event, Context], Awaitable[None]]:
        """An outside handler of this name."""

        async def handler(event: Event, context: Context) -> None:
            self._fail(name, event)
            self.calls.append((name, event.id))

        handler.__name__ = name
        return handler

    def called(self, *events: Event) -> list[UUID]:
        """Ids of those events in the order in which outside handlers have finished them."""
        ids = {event.id for event in events}
        return [event_id for _, event_id in self.calls if event_id in ids]

    def _fail(self, name: str, event: Event) -> None:
        error = self.fails(name, event)
        if error is not None:
            raise error


class Desk:
    """Routers and runners on the database of one test."""

    def __init__(self, world: World, *, database: Database | None = None, **tasks: Any) -> None:
        self.world = world
        self.database = database or world.database
        self.metrics = Metrics()
        self.tracing: Tracing = UNTRACED
        self.config = replace(world.config, tasks=replace(world.config.tasks, **{"idle_poll_ms": 10, **tasks}))
        services = {
            Accounts: self.config.accounts,
            Analytics: self.config.analytics,
            Logins: self.config.logins,
            Mail: self.config.mail,
            Places: Places(""),
            Pseudonyms: Pseudonyms(b"p" * 32),
            UserCache: UserCache(None, ttl_seconds=60, metrics=self.metrics),
        }
        self.context = Context(clock=SystemClock(), services=services)

    def with_trouble(self, trouble: "Trouble", **tasks: Any) -> "Desk":
        """The same desk behind a connection that is lost now and then."""
        database = FailingDatabase(self.world.database, trouble)
        return Desk(self.world, database=cast("Database", database), **tasks)

    async def open(self) -> None:
        """Make the table of effects."""
        async with self.world.database.transaction() as tx:
            await tx.execute(
                "create table effects "
                "(n bigint generated always as identity, handler text, event_id uuid, user_id uuid)"
            )

    def router(self, group: Group, *, schedule: Schedule = QUICK) -> Router:
        """A router for this group."""
        return Router(
            group,
            registry=REGISTRY,
            database=self.database,
            context=self.context,
            config=self.config,
            schedule=schedule,
            metrics=self.metrics,
            tracing=self.tracing,
        )

    def equipment(self, leases: Leases, schedule: Schedule) -> Equipment:
        """What runner and sets are given."""
        return Equipment(
            config=self.config,
            registry=REGISTRY,
            database=self.database,
            leases=leases,
            context=self.context,
            streams={TOPIC: "user_events"},
            schedule=schedule,
            metrics=self.metrics,
            tracing=self.tracing,
        )

    def runner(self, *groups: Group, leases: Leases | None = None, schedule: Schedule = QUICK) -> Runner:
        """A runner for the handlers of these groups, which somebody has to run."""
        return Runner(self.equipment(leases or self.leases(), schedule), handlers=handlers_by_name(groups))

    def sets(self, *groups: Group, leases: Leases | None = None, schedule: Schedule = QUICK) -> Sets:
        """The same for those handlers of these groups that take many tasks at once."""
        return Sets(self.equipment(leases or self.leases(), schedule), handlers=in_sets(handlers_by_name(groups)))

    def leases(self, *, lease_seconds: float = 60, clock: Clock | None = None) -> Leases:
        """Leases on the tasks, which somebody has to keep."""
        return Leases(
            "tasks",
            database=self.world.database,
            clock=clock or self.context.clock,
            metrics=self.metrics,
            lease_seconds=lease_seconds,
        )

    @asynccontextmanager
    async def running(
        self,
        *groups: Group,
        schedule: Schedule = QUICK,
        leases: Leases | None = None,
        stop_seconds: float = 5,
    ) -> AsyncIterator[Runner]:
        """A runner at work with all the shards that it can get, stopped in order at the end."""
        leases = leases or self.leases()
        await leases.beat()
        runner = self.runner(*groups, leases=leases, schedule=schedule)
        async with at_work(runner, stop_seconds=stop_seconds):
            yield runner
        await leases.release()

    @asynccontextmanager
    async def doing_sets(
        self,
        *groups: Group,
        schedule: Schedule = QUICK,
        leases: Leases | None = None,
        stop_seconds: float = 5,
    ) -> AsyncIterator[Sets]:
        """As `running`, for tasks that are done in sets."""
        leases = leases or self.leases()
        await leases.beat()
        sets = self.sets(*groups, leases=leases, schedule=schedule)
        async with at_work(sets, stop_seconds=stop_seconds):
            yield sets
        await leases.release()

    async def all_done_in_sets(self, *groups: Group, schedule: Schedule = QUICK) -> None:
        """Do tasks in sets until there is none left."""
        async with self.doing_sets(*groups, schedule=schedule):
            await self.eventually_tasks(0)

    async def all_done(self, *groups: Group, schedule: Schedule = QUICK) -> None:
        """Run the tasks until there is none left."""
        async with self.running(*groups, schedule=schedule):
            await self.eventually_tasks(0)

    async def eventually_tasks(self, number: int) -> None:
        """Wait until there are so many tasks."""
        await eventually(lambda: self.world.count("tasks"), lambda n: n == number, what=f"{number} tasks")

    async def effects(self, handler: str, *events: Event) -> list[UUID]:
        """The events (of these, if any are given) that had an effect of this handler, in order, doubles and all."""
        rows = await self.world.rows("select event_id from effects where handler = %s order by n", handler)
        wanted = {event.id for event in events}
        return [row[0] for row in rows if not wanted or row[0] in wanted]


@asynccontextmanager
async def at_work(runner: Runner | Sets, *, stop_seconds: float = 5) -> AsyncIterator[None]:
    """The runner runs in the block, and is cancelled and closed after it. What makes it fail fails the block."""
    work = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        work.cancel()
        (result,) = await asyncio.gather(work, return_exceptions=True)
        await runner.close(timeout_seconds=stop_seconds)
    assert isinstance(result, asyncio.CancelledError), result


class Trouble:
    """Decides which statement or commit goes wrong; counts them."""

    def __init__(self, chance: Callable[[int], bool]) -> None:
        self.steps = 0
        self._chance = chance

    def step(self) -> None:
        """One statement. Raises what a lost connection does."""
        if self._comes():
            raise psycopg.OperationalError("this connection was lost on purpose")

    def answer(self) -> None:
        """One moment just after a commit. Raises what a lost answer does."""
        if self._comes():
            raise OutcomeUnknown("this answer was lost on purpose")

    def _comes(self) -> bool:
        self.steps += 1
        return self._chance(self.steps)


class FailingTransaction(Transaction):
    """A transaction whose statements fail when trouble says so."""

    trouble: Trouble

    async def execute(self, query: Any, parameters: Any = None) -> Any:
        self.trouble.step()
        return await super().execute(query, parameters)

    async def send(self, query: Any, parameters: Any = None) -> Any:
        self.trouble.step()
        return await super().send(query, parameters)

    async def fetch_one(self, query: Any, parameters: Any = None) -> Any:
        self.trouble.step()
        return await super().fetch_one(query, parameters)

    async def fetch_all(self, query: Any, parameters: Any = None) -> Any:
        self.trouble.step()
        return await super().fetch_all(query, parameters)


class FailingDatabase:
    """The real database behind a connection that is lost now and then: before a statement, or just after the commit."""

    def __init__(self, database: Database, trouble: Trouble) -> None:
        self._database = database
        self._trouble = trouble

    def signal(self, name: str) -> Signal:
        return self._database.signal(name)

    async def run_alone(self, query: Any, parameters: Any = None) -> list[Any]:
        self._trouble.step()
        rows = await self._database.run_alone(query, parameters)
        self._trouble.answer()
        return rows

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._database.transaction() as tx:
            failing = FailingTransaction(tx.connection)
            failing.trouble = self._trouble
            yield failing
            for name in failing.to_wake:
                tx.wake_after_commit(name)
        self._trouble.answer()
        await asyncio.sleep(0)  # where a cancellation comes too late to stop the commit
