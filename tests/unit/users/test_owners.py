import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from usercenter.clock import HeldClock
from usercenter.db import Database, DatabaseUnavailable
from usercenter.users.copies import Copies
from usercenter.users.errors import TokenInvalid
from usercenter.users.model import User
from usercenter.users.owners import Owners
from usercenter.users.tokens import Claims

START = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
FOR_EVER = datetime(2030, 1, 1, tzinfo=UTC)


class SlowDatabase:
    """Holds each question until it is let go, and answers with the sessions that stand at that moment."""

    def __init__(self):
        self.standing: dict[UUID, User] = {}
        self.asked: list[list[UUID]] = []
        self.turns: list[asyncio.Event] = []
        self.error: Exception | None = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["SlowDatabase"]:
        yield self

    async def fetch_all(self, query: str, parameters: Any) -> list[tuple[Any, ...]]:
        ids, _ = parameters
        turn = asyncio.Event()
        self.asked.append(sorted(ids))
        self.turns.append(turn)
        found = [(each, FOR_EVER, *_columns(self.standing[each])) for each in ids if each in self.standing]
        await turn.wait()
        if self.error is not None:
            raise self.error
        return found


def _columns(user):
    return [getattr(user, name) for name in User.__struct_fields__]


def a_user(number):
    return User(id=UUID(int=number), username=f"u{number}", email=f"u{number}@x", created_at=START, updated_at=START)


def claims_of(number):
    return Claims(UUID(int=number), UUID(int=100 + number))


@pytest.fixture
def database():
    found = SlowDatabase()
    found.standing = {UUID(int=100 + number): a_user(number) for number in range(9)}
    return found


@pytest.fixture
def copies():
    """Where nobody listens, as without a cache."""
    return Copies(seconds=2)


@pytest.fixture
def owners(database, copies):
    return Owners(cast("Database", database), copies, clock=HeldClock(START))


async def waiting(owners, numbers, *, is_reading=True):
    """Tasks that ask for these users, begun."""
    tasks = [asyncio.create_task(owners.of(claims_of(number), is_reading=is_reading)) for number in numbers]
    await a_few_turns()
    return tasks


async def a_few_turns():
    for _ in range(5):
        await asyncio.sleep(0)


async def answered(database, tasks):
    """What the tasks come to, once PostgreSQL answers all that it is asked."""
    while not all(task.done() for task in tasks):
        for turn in database.turns:
            turn.set()
        await a_few_turns()
    return [task.exception() or task.result().username for task in tasks]


async def test_who_asks_while_questions_are_under_way_shares_the_next_one(database, owners):
    first, second = await waiting(owners, [1]), await waiting(owners, [2])
    later = await waiting(owners, [3, 4, 5])

    assert await answered(database, [*first, *second, *later]) == ["u1", "u2", "u3", "u4", "u5"]
    assert [len(ids) for ids in database.asked] == [1, 1, 3]


async def test_those_who_ask_in_one_moment_share_one_question(database, owners):
    assert await answered(database, await waiting(owners, [1, 2, 2, 3])) == ["u1", "u2", "u2", "u3"]
    assert len(database.asked) == 1


async def test_who_asks_in_the_very_moment_in_which_the_last_questions_end_is_answered(database, owners):
    async def ask_twice() -> User:
        await owners.of(claims_of(1))
        return await owners.of(claims_of(2))

    asking = asyncio.create_task(ask_twice())
    await a_few_turns()
    other = await waiting(owners, [3])
    for turn in database.turns:
        turn.set()
    await a_few_turns()

    assert database.asked[2:] == [[UUID(int=102)]]
    assert await answered(database, [asking, *other]) == ["u2", "u3"]


async def test_no_answer_is_older_than_its_request(database, owners):
    before = await waiting(owners, [1]) + await waiting(owners, [2])
    del database.standing[UUID(int=101)]  # the session ends while it is asked for
    after = await waiting(owners, [1])

    early, _, late = await answered(database, [*before, *after])
    assert early == "u1"
    assert isinstance(late, TokenInvalid)


async def test_a_session_of_somebody_else_is_refused(database, owners):
    task = asyncio.create_task(owners.of(Claims(UUID(int=1), UUID(int=102))))
    await a_few_turns()

    assert isinstance((await answered(database, [task]))[0], TokenInvalid)


async def test_a_client_that_leaves_takes_nobody_along(database, owners):
    leaving, staying = await waiting(owners, [1, 2])
    leaving.cancel()
    await a_few_turns()

    assert await answered(database, [staying]) == ["u2"]


async def test_an_absence_of_the_database_is_told_to_all_who_waited_and_to_nobody_after(database, owners):
    database.error = DatabaseUnavailable("away")
    assert all(
        isinstance(each, DatabaseUnavailable) for each in await answered(database, await waiting(owners, [1, 2]))
    )

    database.error = None
    assert await answered(database, await waiting(owners, [1])) == ["u1"]


async def test_while_somebody_listens_to_changes_a_session_is_asked_for_once(database, owners, copies):
    copies.begin()

    assert await answered(database, await waiting(owners, [1])) == ["u1"]
    assert (await owners.of(claims_of(1), is_reading=True)).username == "u1"
    assert len(database.asked) == 1


async def test_a_change_while_it_is_asked_for_keeps_the_answer_from_being_remembered(database, owners, copies):
    copies.begin()
    asking = await waiting(owners, [1, 2])
    copies.drop([UUID(int=1)])
    await answered(database, asking)

    await answered(database, await waiting(owners, [1, 2]))
    assert database.asked == [[UUID(int=101), UUID(int=102)], [UUID(int=101)]]


async def test_what_changes_something_asks_although_there_is_a_copy(database, owners, copies):
    copies.begin()
    await answered(database, await waiting(owners, [1]))
    del database.standing[UUID(int=101)]

    assert (await owners.of(claims_of(1), is_reading=True)).username == "u1"
    refused = await answered(database, await waiting(owners, [1], is_reading=False))
    assert isinstance(refused[0], TokenInvalid)
