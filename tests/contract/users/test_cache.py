"""The users' copies in a real Valkey."""

import random
from datetime import UTC, datetime

import pytest
import redis.asyncio as redis
from harness import World
from msgspec.structs import replace

from usercenter.events import new_id
from usercenter.metrics import Metrics
from usercenter.users.cache import CacheUnreachable, UserCache
from usercenter.users.model import User

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
async def cache(world: World):
    client = redis.from_url(world.config.cache.url)
    yield UserCache(client, ttl_seconds=60, metrics=Metrics())
    await client.aclose()


def ada() -> User:
    return User(id=new_id(), username="ada", email="ada@example.com", created_at=NOW, updated_at=NOW)


@pytest.mark.parametrize("seed", range(5))
async def test_of_versions_in_any_order_the_newest_one_stays(world: World, cache: UserCache, seed: int) -> None:
    user = ada()
    versions = [replace(user, sequence=number, first_name=f"version {number}") for number in range(1, 51)]
    random.Random(seed).shuffle(versions)  # noqa: S311  # an order, no secret

    for version in versions:
        await cache.remember(version)

    found = await cache.find(world.database, user.id)
    assert found is not None
    assert (found.sequence, found.first_name) == (50, "version 50")


async def test_a_deleted_user_is_not_brought_back_by_an_older_version(world: World, cache: UserCache) -> None:
    user = ada()

    assert await cache.remember_gone(user.id, 7)
    assert not await cache.remember(replace(user, sequence=6))

    assert await cache.find(world.database, user.id) is None


async def test_a_user_that_the_cache_does_not_know_is_read_from_postgresql_and_remembered(
    world: World, cache: UserCache
) -> None:
    user = ada()
    await insert(world, user)

    assert await cache.sequence_of(user.id) is None
    assert (await cache.find(world.database, user.id)) == user
    assert await cache.sequence_of(user.id) == 1


async def test_a_cache_that_is_down_makes_it_slower_and_never_wrong(world: World) -> None:
    client = redis.from_url("redis://127.0.0.1:1/0")
    cache = UserCache(client, ttl_seconds=60, metrics=Metrics())
    user = ada()
    await insert(world, user)

    assert await cache.find(world.database, user.id) == user
    with pytest.raises(CacheUnreachable):
        await cache.remember(user)
    await client.aclose()


async def test_without_a_cache_everything_is_read_from_postgresql(world: World) -> None:
    cache = UserCache(None, ttl_seconds=60, metrics=Metrics())
    user = ada()
    await insert(world, user)

    assert await cache.find(world.database, user.id) == user
    assert not await cache.remember(user)


async def insert(world: World, user: User) -> None:
    async with world.database.transaction() as tx:
        await tx.execute(
            "insert into users (id, username, username_key, email, email_key, password_hash, sequence, created_at, "
            "updated_at) values (%s, %s, %s, %s, %s, '', 1, %s, %s)",
            (user.id, user.username, str(user.id), user.email, str(user.id), NOW, NOW),
        )
