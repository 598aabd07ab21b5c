"""That there is always somebody left who can administrate, whoever does what at the same time."""

import asyncio
from uuid import UUID

import pytest
from harness import World, eventually

from usercenter.clock import SystemClock
from usercenter.db import Transaction
from usercenter.events import Origin
from usercenter.users import roles, service
from usercenter.users.drafts import draft_of
from usercenter.users.errors import LastAdmin
from usercenter.users.model import Role

CLOCK = SystemClock()
ORIGIN = Origin(actor="a test")


async def somebody(world: World, name: str, role: Role) -> UUID:
    draft = draft_of(world.config.accounts, username=name, email=world.email(name), password="password123")
    async with world.database.transaction() as tx:
        user = await service.register(tx, draft, password_hash="", origin=ORIGIN, clock=CLOCK)
        await roles.change_role(tx, user.id, role, origin=ORIGIN, clock=CLOCK)
    return user.id


async def make(world: World, user_id: UUID, role: Role) -> None:
    async with world.database.transaction() as tx:
        await roles.change_role(tx, user_id, role, origin=ORIGIN, clock=CLOCK)


async def admins(world: World) -> int:
    return int(await world.value("select count(*) from users where role = 'admin' and status = 'active'"))


async def waits(world: World) -> bool:
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    return bool(await world.value(waiting))


async def test_of_two_admins_that_are_demoted_at_one_time_one_stays(world: World) -> None:
    both = [await somebody(world, name, "admin") for name in ("ada", "bob")]

    ends = await asyncio.gather(*(make(world, each, "user") for each in both), return_exceptions=True)

    assert sorted(type(end) for end in ends if end is not None) == [LastAdmin]
    assert await admins(world) == 1


async def test_who_becomes_the_last_admin_while_a_lower_role_is_given_does_not_lose_it(world: World) -> None:
    ada, bob = await somebody(world, "ada", "admin"), await somebody(world, "bob", "user")

    async def bob_takes_her_place() -> None:
        await make(world, bob, "admin")
        await make(world, ada, "user")

    async def give_lower_role(tx: Transaction) -> asyncio.Task[None]:
        await roles.require_another_admin(tx, bob)
        meanwhile = asyncio.create_task(bob_takes_her_place())

        async def has_come_far() -> bool:
            return meanwhile.done() or await waits(world)

        await eventually(has_come_far, what="the others")
        await service.update(tx, bob, {"role": "auditor"}, origin=ORIGIN, clock=CLOCK)
        return meanwhile

    async with world.database.transaction() as tx:
        meanwhile = await give_lower_role(tx)
    await meanwhile

    assert await admins(world) == 1


@pytest.mark.parametrize("role", ["user", "auditor"])
async def test_the_only_admin_keeps_the_role(world: World, role: Role) -> None:
    ada = await somebody(world, "ada", "admin")

    with pytest.raises(LastAdmin):
        await make(world, ada, role)

    assert await admins(world) == 1
