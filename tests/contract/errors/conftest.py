"""A broker that asks who is there and what he may do, for the errors that only such a broker makes."""

import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from faults.broker import CREDENTIALS, USER, FaultyKafka
from harness import World
from msgspec.structs import replace

from usercenter.config.model import Kafka
from usercenter.embedded.parts import Running


@dataclass(frozen=True, kw_only=True)
class Guarded(Running):
    """The parts, with this broker in the place of theirs."""

    broker: FaultyKafka


@pytest.fixture(scope="module")
async def parts(parts: Running) -> AsyncIterator[Guarded]:
    with tempfile.TemporaryDirectory(prefix="usercenter-guarded-") as folder:
        lock = os.open(Path(folder) / "lock", os.O_CREAT | os.O_RDWR)
        broker = FaultyKafka(Path(folder) / "kafka", lock=lock, heap_mb=256, announce=print)
        broker.advertised_port = broker.proxied_port
        try:
            await broker.start()
            config = replace(parts.config, kafka=replace(parts.config.kafka, brokers=[broker.plain_address]))
            yield Guarded(**vars(parts) | {"config": config, "broker": broker})
        finally:
            await broker.stop()
            os.close(lock)


@pytest.fixture
def guarded(world: World, parts: Guarded) -> Kafka:
    """The settings of a client that has to say who it is."""
    return replace(world.config.kafka, brokers=[parts.broker.guarded_address], librdkafka=dict(CREDENTIALS))


class Rights:
    """What the user may do with the topics and groups of this test."""

    def __init__(self, world: World) -> None:
        self._admin = AdminClient({"bootstrap.servers": ",".join(world.config.kafka.brokers), "log_level": 0})
        self._prefix = world.config.kafka.client_id

    def grant(self, kind: str, *operations: str) -> None:
        """On the topics, or the groups."""
        for done in self._admin.create_acls([AclBinding(*self._facts(kind, each)) for each in operations]).values():
            done.result(10)

    def take(self, kind: str, *operations: str) -> None:
        """The same, back."""
        for done in self._admin.delete_acls(
            [AclBindingFilter(*self._facts(kind, each)) for each in operations]
        ).values():
            done.result(10)

    def _facts(self, kind: str, operation: str) -> tuple[Any, ...]:
        return (
            ResourceType[kind.upper()],
            self._prefix,
            ResourcePatternType.PREFIXED,
            f"User:{USER}",
            "*",
            AclOperation[operation.upper()],
            AclPermissionType.ALLOW,
        )


@pytest.fixture
def rights(world: World) -> Rights:
    return Rights(world)
