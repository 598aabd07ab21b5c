"""Who is told of a change that this process has committed, or perhaps has."""

from collections.abc import Collection
from uuid import UUID, uuid4

import pytest
from harness import World

from usercenter.db import Database, DatabaseUnavailable, OutcomeUnknown

ADA = uuid4()
END_OF_THE_CONNECTION = "select pg_terminate_backend(pg_backend_pid())"


@pytest.fixture
def told(world: World) -> list[UUID]:
    """Of whom somebody was told."""
    found: list[UUID] = []

    async def tell(user_ids: Collection[UUID]) -> None:
        found.extend(user_ids)

    world.database.tell = tell
    return found


async def change_at_once(database: Database, statement: str) -> None:
    async with database.at_once() as tx:
        tx.tell_after_commit(ADA)
        await tx.execute(statement)  # type: ignore[arg-type]  # ours


async def change(database: Database, statement: str) -> None:
    async with database.transaction() as tx:
        tx.tell_after_commit(ADA)
        await tx.execute(statement)  # type: ignore[arg-type]  # ours


@pytest.mark.parametrize("way", [change, change_at_once])
async def test_what_is_committed_is_told(world: World, told: list[UUID], way) -> None:
    await way(world.database, "select 1")

    assert told == [ADA]


async def test_what_is_perhaps_committed_is_told(world: World, told: list[UUID]) -> None:
    with pytest.raises(OutcomeUnknown):
        await change_at_once(world.database, END_OF_THE_CONNECTION)

    assert told == [ADA]


async def test_what_is_lost_before_its_commit_is_certainly_not_made_and_not_told(
    world: World, told: list[UUID]
) -> None:
    with pytest.raises(DatabaseUnavailable) as refused:
        await change(world.database, END_OF_THE_CONNECTION)

    assert not isinstance(refused.value, OutcomeUnknown)
    assert told == []
