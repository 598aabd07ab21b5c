"""The tables in memory answer as PostgreSQL does: the same questions, the same answers, whatever came before."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast
from uuid import UUID

import pytest
from harness import World
from simulation.tables import Connection, Tables

from usercenter.clock import SystemClock
from usercenter.db import Database, Transaction
from usercenter.events import UserUpdated
from usercenter.messaging import inbox, outbox, set_queries, tasks
from usercenter.messaging.leases import Leases
from usercenter.messaging.outbox import RawMessage
from usercenter.messaging.shards import SHARDS
from usercenter.messaging.tasks import Failure, NewTask, Task
from usercenter.metrics import Metrics

USERS = [UUID(int=number) for number in range(1, 4)]
HANDLERS = ["send_mail", "sync/a", "sync/b"]
NAMES = ["send_mail", "sync"]
OWNER = UUID(int=99)
SOON, LATE = 0.0, 3_600.0
NOW = datetime(2030, 1, 1, tzinfo=UTC)
STEPS = 250

Ask = Callable[[Transaction], Awaitable[Any]]


class Both:
    """Asks PostgreSQL and the tables in memory the same thing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables = Tables(lambda: datetime.now(UTC))

    async def ask(self, question: Ask, *, commits: bool = True) -> Any:
        """The answer that both give; fails when they differ."""
        real = await self._of_postgresql(question, commits=commits)
        seen = await self._of_memory(question, commits=commits)
        assert seen == real, f"in memory {seen}; in PostgreSQL {real}"
        return real

    async def _of_postgresql(self, question: Ask, *, commits: bool) -> Any:
        async with self._database.transaction() as tx, tx.connection.transaction(force_rollback=not commits):
            return _told(await question(tx))

    async def _of_memory(self, question: Ask, *, commits: bool) -> Any:
        connection = Connection(self._tables)
        answer = await question(Transaction(cast("Any", connection)))
        if commits:
            connection.commit()
        connection.end()
        return _told(answer)


def _told(answer: Any) -> Any:
    """What can be compared: moments depend on when one asks, orders of sets on nothing."""
    if isinstance(answer, list):
        return [_told(each) for each in answer]
    if isinstance(answer, tuple) and hasattr(answer, "_replace"):
        gone = {name: None for name in ("created_at", "due_with") if name in answer._fields}
        return answer._replace(**gone), [name for name in gone if getattr(answer, name) is not None]
    return answer


class Walk:
    """A walk through what the post asks its tables, drawn from a seed."""

    def __init__(self, both: Both, seed: int) -> None:
        self._both = both
        self._random = Random(seed)  # noqa: S311  # a walk that can be walked again
        self.claims = 0
        self.in_sets: list[int] = []
        self._claimed: list[Task] = []
        self._ids = 0

    async def step(self) -> None:
        """One question."""
        await self._random.choice(
            [
                self._post,
                self._take,
                self._admit,
                self._add,
                self._add,
                self._claim,
                self._claim,
                self._claim_set,
                self._end,
                self._doubt,
            ]
        )()

    async def _ask(self, question: Ask) -> Any:
        return await self._both.ask(question, commits=self._random.random() < 0.85)

    async def _post(self) -> None:
        event = UserUpdated(
            id=self._id(), timestamp=NOW, user_id=self._user(), sequence=self._ids, username="a", email="b", changes={}
        )
        letter = RawMessage(self._id(), "user_events.dlq", str(self._user()), 7, "x", b"\x00", {"a": "b"})
        await self._ask(lambda tx: outbox.add(tx, event))
        await self._ask(lambda tx: outbox.add_raw(tx, [letter]))

    async def _take(self) -> None:
        shards, held = self._shards(), [str(self._user())]
        rows = await self._ask(
            lambda tx: outbox.waiting(tx.fetch_all, shards=shards, beside=[2, 3], held_keys=held, limit=5)
        )
        gone = [row.position for row, _ in rows[::2]]
        await self._ask(lambda tx: outbox.remove(tx, gone))

    async def _admit(self) -> None:
        ids = [UUID(int=self._random.randrange(40)) for _ in range(5)]
        await self._ask(lambda tx: inbox.admit(tx, "usercenter", ids))

    async def _add(self) -> None:
        new = [self._task() for _ in range(self._random.randint(1, 3))]
        users = [self._user()]
        await self._ask(lambda tx: tasks.add(tx, new))
        await self._ask(lambda tx: tasks.busy_lanes(tx, HANDLERS[:2], users))

    async def _claim(self) -> None:
        shards, beside = self._shards(), [(self._random.choice(HANDLERS), self._user())]
        broken = [self._random.choice(HANDLERS)] if self._random.random() < 0.3 else []
        await self._ask(lambda tx: tasks.due_of(tx, handler=HANDLERS[0], shards=shards))
        await self._ask(lambda tx: tasks.most_parked_users(tx, HANDLERS))
        due = await self._ask(
            lambda tx: tasks.due(tx, handlers=NAMES, shards=shards, beside=beside, limit=6, broken=broken)
        )
        late = {each.position: datetime.now(UTC) + timedelta(seconds=LATE) for each, when in due if when}
        if late:
            await self._ask(lambda tx: tasks.postpone(tx, late))
        positions = [each.position for each, when in due if not when]
        if self._random.random() < 0.1:
            await self._ask(lambda tx: tasks.put_off(tx, dict.fromkeys(positions, LATE)))
        is_claimed = self._random.random() < 0.9
        claimed = await self._both.ask(
            lambda tx: tasks.claim(tx, owner=OWNER if is_claimed else UUID(int=1), positions=positions)
        )
        self.claims += len(claimed)
        self._claimed += [each for each, _ in claimed]

    async def _claim_set(self) -> None:
        shards, handlers = self._shards(), self._random.sample(HANDLERS, 2)
        claimed = await self._both.ask(
            lambda tx: set_queries.claim(tx, owner=OWNER, handlers=handlers, shards=shards, limit=8)
        )
        self.in_sets.append(len(claimed))
        self._claimed += [each for each, _ in claimed]

    async def _end(self) -> None:
        if not self._claimed:
            return
        task = self._claimed.pop(self._random.randrange(len(self._claimed)))
        wait, crashes = self._random.choice([SOON, LATE]), self._random.choice([0, 1, 2])
        endings: list[Ask] = [
            lambda tx: tasks.finish(tx, [task.position]),
            lambda tx: tasks.bury(tx, task),
            lambda tx: tasks.give_back(tx, [task]),
            lambda tx: tasks.park(tx, [Failure(task, task.attempts, "why", wait, crashes)]),
        ]
        await self._ask(self._random.choice(endings))

    async def _doubt(self) -> None:
        positions = [self._random.randrange(1, 30) for _ in range(3)]
        await self._ask(lambda tx: tasks.unclaim(tx, owner=OWNER, positions=positions))

    def _task(self) -> NewTask:
        place = (self._id(), "user.updated", b"k", b"{}", "usercenter", "user.events", 0, self._ids)
        delay = self._random.choice([SOON, SOON, LATE])
        return NewTask(self._random.choice(HANDLERS), self._user(), self._ids, *place, 0, delay, None, NOW, {"a": "b"})

    def _id(self) -> UUID:
        self._ids += 1
        return UUID(int=1_000 + self._ids)

    def _user(self) -> UUID:
        return self._random.choice(USERS)

    def _shards(self) -> list[int]:
        return [shard for shard in range(SHARDS) if self._random.random() < 0.8]


@pytest.mark.parametrize("seed", range(3))
async def test_a_long_walk_gets_the_same_answers(world: World, seed: int):
    both = Both(world.database)
    await both.ask(_own_all_shards)
    walk = Walk(both, seed)
    for _ in range(STEPS):
        await walk.step()
    assert walk.claims > 20
    assert max(walk.in_sets) > 2


async def _own_all_shards(tx: Transaction) -> None:
    leases = Leases(
        "tasks", database=cast("Database", _Joined(tx)), clock=SystemClock(), metrics=Metrics(), lease_seconds=600
    )
    leases.owner = OWNER
    await leases.beat()
    assert len(leases.owned()) == SHARDS


class _Joined:
    """A database whose transaction is the one that is open already."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def signal(self, name: str) -> asyncio.Event:
        del name
        return asyncio.Event()

    def transaction(self) -> "_Joined":
        return self

    async def __aenter__(self) -> Transaction:
        return self._tx

    async def __aexit__(self, *failure: object) -> None:
        return None
