"""F3 and F4: commits out of order and several relays. Nothing is skipped, and each user keeps the order."""

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from faults.crew import crew
from faults.ledger import Allowed, check
from faults.load import Clients
from faults.report import Figures
from harness import World, eventually
from msgspec.structs import replace

from usercenter.clock import SystemClock
from usercenter.config.model import Accounts
from usercenter.db import Database, Transaction
from usercenter.events import Origin
from usercenter.users import service
from usercenter.users.drafts import draft_of
from usercenter.users.model import User

CHANGES = 1000
TOGETHER = 20


@pytest.mark.fault("F3")
async def test_a_position_that_commits_late_is_not_skipped(world: World, file: Path, figures: Figures) -> None:
    async with world.service(roles=["relay", "worker"]):
        async with world.database.transaction() as early:
            first = await register(early, world, "first")
            async with world.database.transaction() as late:
                second = await register(late, world, "second")
            await eventually(
                lambda: asyncio.to_thread(on_kafka, world),  # the relay has its turns on this loop meanwhile
                lambda users: users == [str(second.id)],
                what="the later one",
            )
        tally = await check(world, file, allowed=Allowed(unwritten=True))

    assert sorted(on_kafka(world)) == sorted([str(first.id), str(second.id)])
    figures.note("of two connections the one with the later position commits first", tally=tally)


@pytest.mark.fault("F3")
async def test_twenty_connections_that_commit_in_any_order_lose_and_reorder_nothing(
    world: World, file: Path, seed: int, figures: Figures
) -> None:
    database = Database(replace(world.config.database, pool_min=1, pool_max=TOGETHER))
    await database.open()
    chance = random.Random(seed)  # noqa: S311  # repeatable, not secret
    users: dict[str, User] = {}
    async with world.service(roles=["relay", "worker"]):
        for round_ in range(5):
            stacks = [AsyncExitStack() for _ in range(TOGETHER)]
            for number, stack in enumerate(stacks):  # positions in this order …
                tx = await stack.enter_async_context(database.transaction())
                await change(tx, world, users, f"user{number}", round_)
            for stack in chance.sample(stacks, TOGETHER):  # … commits in another
                await stack.aclose()
        tally = await check(world, file, allowed=Allowed(unwritten=True))
    await database.close()

    assert tally.events == TOGETHER * 5
    figures.note(f"{TOGETHER} connections write in one order and commit in another, five times", tally=tally)


@pytest.mark.fault("F3")
async def test_two_changes_of_one_user_wait_for_each_other(world: World, file: Path, figures: Figures) -> None:
    async with world.database.transaction() as tx:
        user = await register(tx, world, "ada")
    async with world.service(roles=["relay", "worker"]):
        async with world.database.transaction() as first:
            await update(first, user, "first")
            waiting = asyncio.create_task(update_alone(world, user, "second"))
            await eventually(lambda: world.value(BLOCKED), lambda number: number == 1, what="the wait for the user")
        await waiting
        tally = await check(world, file, allowed=Allowed(unwritten=True))

    names = [json.loads(m.value or b"").get("changes", {}).get("last_name") for m in world.messages("user_events")]
    assert names == [None, "first", "second"]
    figures.note("two connections change one user: the second waits for the first one's commit", tally=tally)


@pytest.mark.long
@pytest.mark.fault("F4")
async def test_four_relays_of_which_some_are_killed_keep_the_order_of_one_user(
    world: World, clients: Callable[..., Clients], file: Path, figures: Figures
) -> None:
    only_updates = {"log_in": 0, "password": 0, "status": 0, "delete": 0, "register": 0}
    relays = [f"relay.{number}" for number in range(4)]
    async with world.service(roles=["api", "worker"]) as (front, _), crew(world, *relays) as processes:
        load = clients(lambda: [front.url], clerks=1, accounts=1, **only_updates)
        for relay in relays:
            await load.work(CHANGES // 4)
            await processes.kill(relay)
            await processes.start(relay)
        tally = await check(world, file)

    assert tally.ok == CHANGES
    messages = [json.loads(message.value or b"") for message in world.messages("user_events")]
    first = list(dict.fromkeys(message["sequence"] for message in messages))
    assert first == sorted(first)
    figures.note("1,000 changes of one user; each of four relays is killed once on the way", kills=4, tally=tally)


BLOCKED = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"


async def register(tx: Transaction, world: World, name: str) -> User:
    draft = draft_of(Accounts(), **world.registration(name))
    return await service.register(tx, draft, password_hash="none", origin=Origin(), clock=SystemClock())


async def update(tx: Transaction, user: User, name: str) -> User:
    return await service.update(tx, user.id, {"last_name": name}, origin=Origin(), clock=SystemClock())


async def update_alone(world: World, user: User, name: str) -> None:
    async with world.database.transaction() as tx:
        await update(tx, user, name)


async def change(tx: Transaction, world: World, users: dict[str, User], name: str, round_: int) -> None:
    """Register in the first round, update in the others."""
    if name in users:
        await update(tx, users[name], f"name {round_}")
    else:
        users[name] = await register(tx, world, name)


def on_kafka(world: World) -> list[str]:
    """Whose events lie on user.events, in order of the partitions."""
    return [json.loads(message.value or b"")["user_id"] for message in world.messages("user_events")]
