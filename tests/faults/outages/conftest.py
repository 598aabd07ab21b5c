"""The ground of these tests: a broker of their own, and a proxy before it and before PostgreSQL."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from faults.broker import FaultyKafka
from faults.front import Front, Fronted
from faults.proxy import Proxy
from faults.volume import Volume
from harness import World
from msgspec.structs import replace

from usercenter.config.model import Config
from usercenter.embedded.parts import Running


@pytest.fixture(scope="module")
async def parts(parts: Running) -> AsyncIterator[Fronted]:
    """The parts of all tests, with a broker of this file's tests in the place of theirs: none idles through the run."""
    assert parts.postgres is not None
    with tempfile.TemporaryDirectory(prefix="usercenter-broker-") as folder:
        disk = Volume(Path(folder) / "disk", megabytes=256)
        lock = os.open(Path(folder) / "lock", os.O_CREAT | os.O_RDWR)
        broker = FaultyKafka(disk.path / "kafka", lock=lock, heap_mb=256, announce=print)
        with Proxy(broker.proxied_port) as to_broker, Proxy(parts.postgres.port) as to_database:
            broker.advertised_port = to_broker.port
            front = Front(broker=broker, broker_disk=disk, to_broker=to_broker, to_database=to_database)
            try:
                await broker.start()
                config = replace(parts.config, kafka=replace(parts.config.kafka, brokers=[broker.plain_address]))
                yield Fronted(**vars(parts) | {"config": config, "front": front})
            finally:
                await broker.stop()
                disk.remove()
                os.close(lock)


@pytest.fixture
def front(parts: Fronted) -> Iterator[Front]:
    """What stands before the servers; healed at the end."""
    yield parts.front
    parts.front.to_broker.heal()
    parts.front.to_database.heal()


@pytest.fixture
def world(world: World) -> World:
    """With task leases as they are by default: two seconds are lost on a busy machine, and with them mails in hand."""
    world.config = replace(world.config, tasks=replace(world.config.tasks, lease_seconds=15))
    return world


@pytest.fixture
def far(world: World, front: Front) -> Config:
    """The world's configuration with both servers behind their proxies."""
    return front.far(world.config)
