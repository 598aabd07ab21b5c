"""The front door on a real PostgreSQL, one for each file."""

from collections.abc import AsyncIterator

import pytest
from doorway import Door
from harness import World, config_of, new_database
from msgspec.structs import replace

from usercenter.db import Database
from usercenter.embedded.parts import Running


@pytest.fixture(scope="module")
async def door(parts: Running) -> AsyncIterator[Door]:
    """The front door for the tests of one file."""
    config = config_of(parts, new_database(parts, "usercenter_template"))
    database = Database(replace(config.database, pool_min=1, pool_max=4))
    await database.open()
    world = World(parts, config, database)
    try:
        async with world.service(roles=["api"]) as (service, client):
            yield Door(world, service, client)
    finally:
        await database.close()
