"""Statements that are under way while the batch goes on: what fails or hangs is laid to the handler that sent it."""

from typing import Any

import psycopg
import pytest
from harness import World
from receiving import Desk, login, messages

from usercenter.db import Transaction
from usercenter.events import UserLoggedIn
from usercenter.messaging.groups import Group, Schedule, record

WRITE = "insert into effects (handler, event_id) values (%s, %s)"


@pytest.fixture
async def desk(world: World) -> Desk:
    desk = Desk(world)
    await desk.open()
    return desk


@pytest.mark.parametrize(
    ("statement", "error"),
    [("select 1 / 0", "DivisionByZero"), ("select pg_sleep(3600)", "TimeoutError")],
    ids=["fails", "hangs"],
)
async def test_what_is_found_only_later_parks_the_event_of_the_handler_that_sent_it(
    desk: Desk, statement: Any, error: str
) -> None:
    async def send(events: Any, tx: Any, context: Any) -> None:
        for event in events:
            await tx.send(
                statement if event.actor == "bad" else WRITE, () if event.actor == "bad" else ("send", event.id)
            )

    async def read(events: Any, tx: Any, context: Any) -> None:
        for event in events:
            await tx.fetch_all(f"{WRITE} returning 1", ("read", event.id))

    fine, bad = login(), login(actor="bad")
    handlers = (record(send, timeout_seconds=0.5), record(read, timeout_seconds=0.5))
    group = Group("usercenter", "user_events", {UserLoggedIn: handlers})

    await desk.router(group, schedule=Schedule(first_seconds=3600)).handle(messages(fine, bad))

    assert await desk.effects("send") == [fine.id]
    assert set(await desk.effects("read")) == {fine.id, bad.id}
    ((handler, event_id, said),) = await desk.world.rows("select handler, event_id, last_error from tasks")
    assert (handler, event_id) == ("send", bad.id)
    assert said.startswith(error)


async def test_whatever_reads_waits_for_what_was_sent_before(world: World) -> None:
    async with world.database.transaction() as tx, tx.running_ahead():
        await tx.send("create temp table numbers (n int) on commit drop")
        await tx.send("insert into numbers select generate_series(1, %s)", (1_000,))
        assert await tx.fetch_one("select count(*) from numbers") == (1_000,)
        assert (await tx.execute("delete from numbers")).rowcount == 1_000


async def test_an_error_of_the_last_statement_comes_out_of_the_block_and_undoes_all(world: World) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        await send(world, "create table kept (n int)", "select 1 / 0")

    assert await world.value("select to_regclass('kept')") is None
    async with world.database.transaction() as tx:
        assert await tx.fetch_one("select 1") == (1,)


async def test_in_a_savepoint_an_error_stays_inside(world: World) -> None:
    async def fail(tx: Transaction) -> None:
        async with tx.savepoint():
            await tx.send("insert into numbers values (1)")
            await tx.send("select 1 / 0")

    async with world.database.transaction() as tx, tx.running_ahead():
        await tx.send("create temp table numbers (n int) on commit drop")
        with pytest.raises(psycopg.errors.DivisionByZero):
            await fail(tx)
        await tx.send("insert into numbers values (2)")
        assert await tx.fetch_all("select n from numbers") == [(2,)]


async def test_a_block_that_is_left_by_another_error_keeps_that_one(world: World) -> None:
    with pytest.raises(LookupError):
        await send(world, "select 1 / 0", error=LookupError())


async def send(world: World, *statements: Any, error: Exception | None = None) -> None:
    async with world.database.transaction() as tx, tx.running_ahead():
        for statement in statements:
            await tx.send(statement)
        if error is not None:
            raise error
