"""The front door on a real PostgreSQL, one for each file; and what was logged meanwhile."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import pytest
from doorway import Door, Doors, Lines
from harness import World, config_of, fresh_database
from msgspec.structs import replace

from usercenter.db import Database
from usercenter.embedded.parts import Running


@pytest.fixture(scope="module")
async def door(parts: Running) -> AsyncIterator[Door]:
    """The front door for the tests of one file."""
    async with opened(parts) as found:
        yield found


@pytest.fixture(scope="module")
def doors(parts: Running) -> Doors:
    """Further ones, each with a database of its own: `async with doors() as door`."""
    return lambda: opened(parts)


@asynccontextmanager
async def opened(parts: Running) -> AsyncIterator[Door]:
    with fresh_database(parts) as url:
        config = config_of(parts, url)
        database = Database(replace(config.database, pool_min=1, pool_max=4))
        await database.open()
        world = World(parts, config, database)
        try:
            async with world.service(roles=["api"]) as (service, client):
                yield Door(world, service, client)
        finally:
            await database.close()


@pytest.fixture
def lines() -> Lines:
    """The lines that were written to the log file since the test began."""
    handler = next(each for each in logging.getLogger().handlers if isinstance(each, RotatingFileHandler))
    file = Path(handler.baseFilename)
    start = file.stat().st_size if file.exists() else 0

    def read() -> list[dict[str, Any]]:
        with file.open("rb") as stream:
            stream.seek(start)
            return [json.loads(line) for line in stream]

    return read
