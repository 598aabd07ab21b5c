"""The ground of these tests: a broker of their own, and a proxy before it and before PostgreSQL."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from faults.broker import FaultyKafka
from faults.front import Front
from faults.proxy import Proxy
from faults.volume import Volume
from harness import World, config_of, new_database
from msgspec import structs

from usercenter.config.model import Config
from usercenter.db import Database
from usercenter.embedded.parts import Running

TEMPLATE = "usercenter_template"


@pytest.fixture(scope="session")
async def _front(parts: Running) -> AsyncIterator[Front]:
    assert parts.postgres is not None
    with tempfile.TemporaryDirectory(prefix="usercenter-broker-") as folder:
        disk = Volume(Path(folder) / "disk", megabytes=256)
        broker = FaultyKafka(disk.path / "kafka", lock=_lock(folder), heap_mb=256, announce=print)
        with Proxy(broker.proxied_port) as to_broker, Proxy(parts.postgres.port) as to_database:
            broker.advertised_port = to_broker.port
            try:
                await broker.start()
                yield Front(broker=broker, broker_disk=disk, to_broker=to_broker, to_database=to_database)
            finally:
                await broker.stop()
                disk.remove()


def _lock(folder: str) -> int:
    return os.open(Path(folder) / "lock", os.O_CREAT | os.O_RDWR)


@pytest.fixture
def front(_front: Front) -> Iterator[Front]:
    """The proxies, healthy at the start and healed at the end."""
    yield _front
    _front.to_broker.heal()
    _front.to_database.heal()


@pytest.fixture
async def world(parts: Running, front: Front) -> AsyncIterator[World]:
    """A database and topics for one test alone, on the broker of these tests."""
    kafka = structs.replace(parts.config.kafka, brokers=front.broker.brokers)
    here = replace(parts, config=structs.replace(parts.config, kafka=kafka), kafka=front.broker)
    config = config_of(here, new_database(here, TEMPLATE))
    database = Database(structs.replace(config.database, pool_min=1, pool_max=4))
    await database.open()
    try:
        yield World(here, config, database)
    finally:
        await database.close()


@pytest.fixture
def far(world: World, front: Front) -> Config:
    """The world's configuration with both servers behind their proxies."""
    return front.far(world.config)
