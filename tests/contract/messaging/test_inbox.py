"""The inbox: who may handle an event, and when it is forgotten."""

import asyncio

import psycopg
import pytest
from harness import World, eventually

from usercenter.events import new_id
from usercenter.messaging import inbox


async def test_an_id_is_admitted_once_for_each_group(world: World) -> None:
    ids = [new_id() for _ in range(3)]
    async with world.database.transaction() as tx:
        assert await inbox.admit(tx, "a", [*ids, ids[0]]) == set(ids)
        assert await inbox.admit(tx, "a", ids) == set()
        assert await inbox.admit(tx, "b", ids) == set(ids)


async def test_no_ids_are_no_trouble(world: World) -> None:
    async with world.database.transaction() as tx:
        assert await inbox.admit(tx, "a", []) == set()


async def test_what_was_rolled_back_is_admitted_again(world: World) -> None:
    id_ = new_id()
    with pytest.raises(psycopg.errors.DivisionByZero):  # noqa: PT012  # the block is the transaction
        async with world.database.transaction() as tx:
            await inbox.admit(tx, "a", [id_])
            await tx.execute("select 1 / 0")

    async with world.database.transaction() as tx:
        assert await inbox.admit(tx, "a", [id_]) == {id_}


async def test_a_second_reader_waits_for_the_first_one_and_learns_how_it_ended(world: World) -> None:
    kept, undone = new_id(), new_id()
    answers: list[set[object]] = []

    async def read_too() -> None:
        async with world.database.transaction() as tx:
            answers.append(set(await inbox.admit(tx, "a", [kept, undone])))

    async with world.database.transaction() as tx:
        await inbox.admit(tx, "a", [kept])
        with pytest.raises(psycopg.errors.DivisionByZero):  # noqa: PT012  # the block is the savepoint
            async with tx.savepoint():
                await inbox.admit(tx, "a", [undone])
                await tx.execute("select 1 / 0")
        second = asyncio.create_task(read_too())
        await eventually(
            lambda: world.value("select count(*) from pg_locks where not granted"), what="the second reader waiting"
        )
        assert answers == []
    await second

    assert answers == [{undone}]


async def test_two_readers_of_overlapping_ids_never_deadlock(world: World) -> None:
    ids = [new_id() for _ in range(200)]
    admitted: list[set[object]] = []

    async def read(ids: list[object]) -> None:
        async with world.database.transaction() as tx:
            admitted.append(set(await inbox.admit(tx, "a", ids)))  # type: ignore[arg-type]

    await asyncio.gather(read([*ids]), read([*reversed(ids)]), read([*ids[100:], *ids[:100]]))

    assert sorted(map(len, admitted)) == [0, 0, 200]


async def test_rows_past_their_retention_are_forgotten_in_portions_and_no_others(world: World) -> None:
    old, young = [new_id() for _ in range(5)], new_id()
    async with world.database.transaction() as tx:
        await inbox.admit(tx, "a", old)
        await tx.execute("update inbox set handled_at = now() - interval '31 days'")
        await inbox.admit(tx, "a", [young])

        assert await inbox.forget_older_than(tx, days=30, at_most=3) == 3
        assert await inbox.forget_older_than(tx, days=30, at_most=3) == 2
        assert await inbox.forget_older_than(tx, days=30, at_most=3) == 0

    assert await world.rows("select event_id from inbox") == [(young,)]
