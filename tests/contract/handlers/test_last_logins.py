"""What is kept of logins."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import permutations

import msgspec
import pytest
from harness import World
from receiving import login, message, messages

from usercenter.events import encode, new_id
from usercenter.messaging.router import Router

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


async def test_each_login_is_in_the_log_once_though_it_comes_twice(world: World, router: Router) -> None:
    user = new_id()
    batch = messages(*[login(user, timestamp=NOON, ip_address="::1", user_agent="curl") for _ in range(3)])

    await router.handle(batch)
    await router.handle(batch)

    rows = await world.rows("select user_id, logged_in_at, ip_address, user_agent from login_log")
    assert rows == [(user, NOON, "::1", "curl")] * 3


async def test_a_login_without_address_and_agent_is_logged_too(world: World, router: Router) -> None:
    await router.handle(messages(login()))

    assert await world.rows("select ip_address, user_agent from login_log") == [(None, None)]


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("is_one_batch", [True, False])
async def test_the_last_login_never_moves_backwards_whatever_the_order_of_arrival(
    world: World, router: Router, order: tuple[int, ...], *, is_one_batch: bool
) -> None:
    user = new_id()
    events = [login(user, timestamp=NOON + timedelta(hours=hour), ip_address=f"10.0.0.{hour}") for hour in order]

    for batch in [events] if is_one_batch else [[event] for event in events]:
        await router.handle(messages(*batch))

    assert await world.rows("select user_id, logged_in_at, ip_address from last_logins") == [
        (user, NOON + timedelta(hours=2), "10.0.0.2")
    ]


async def test_a_time_without_a_zone_is_read_as_utc_beside_times_that_have_one(world: World, router: Router) -> None:
    user = new_id()
    foreign = msgspec.json.decode(encode(login(user))) | {"timestamp": "2026-07-01T12:00:00"}

    await router.handle(
        [message(value=msgspec.json.encode(foreign)), message(login(user, timestamp=NOON - timedelta(minutes=1)))]
    )

    assert await world.value("select logged_in_at from last_logins") == NOON


async def test_batches_of_the_same_users_at_one_time_do_not_deadlock(world: World, router: Router) -> None:
    users = [new_id() for _ in range(100)]
    batches = [
        messages(*[login(user, timestamp=NOON + timedelta(minutes=n)) for n, user in enumerate(order)])
        for order in (users, users[::-1], users[50:] + users[:50])
    ]

    await asyncio.gather(*(router.handle(batch) for batch in batches))

    assert await world.count("last_logins") == 100
    assert await world.count("login_log") == 300
