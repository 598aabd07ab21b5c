"""The record of what operators did: it only grows."""

import asyncio
from contextlib import suppress

import psycopg
import pytest
from harness import World

from usercenter.messaging.operations import audit


async def _latest(world: World) -> audit.Operation:
    async with world.database.transaction() as tx:
        return (await audit.latest(tx))[0]


async def test_counts_are_added_in_the_transaction_that_does_the_work(world: World) -> None:
    async with audit.operation(world.database, kind="x", by="ada", selection={"handler": "send"}) as running:
        async with world.database.transaction() as tx:
            await running.note(tx, {"done": 2})
        with suppress(ZeroDivisionError):
            async with world.database.transaction() as tx:
                await running.note(tx, {"done": 100})
                raise ZeroDivisionError
        async with world.database.transaction() as tx:
            await running.note(tx, {"done": 1, "refused": 1})
        assert ((await _latest(world)).state, (await _latest(world)).finished_at) == ("running", None)

    found = await _latest(world)
    assert (found.kind, found.by, found.selection) == ("x", "ada", {"handler": "send"})
    assert (found.state, found.counts) == ("done", {"done": 3, "refused": 1})
    assert found.finished_at is not None


@pytest.mark.parametrize(("error", "state"), [(ValueError(), "failed"), (asyncio.CancelledError(), "stopped")])
async def test_how_it_ended_is_kept(world: World, error: BaseException, state: str) -> None:
    with pytest.raises(type(error)):
        async with audit.operation(world.database, kind="x", by="ada"):
            raise error

    assert (await _latest(world)).state == state


@pytest.mark.parametrize(
    "statement", ["delete from operations", "truncate operations cascade", "update operations set by = 'nobody'"]
)
async def test_nobody_changes_what_was_done(world: World, statement) -> None:
    async with audit.operation(world.database, kind="x", by="ada"):
        pass

    with pytest.raises(psycopg.errors.RaiseException, match="only grows"):
        async with world.database.transaction() as tx:
            await tx.execute(statement)

    assert (await _latest(world)).by == "ada"
