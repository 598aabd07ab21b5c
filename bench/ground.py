"""The ground for the runs: real parts with default durability, and a database and topics of its own for each run."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

import confluent_kafka
import psycopg
from confluent_kafka import TopicPartition
from msgspec.structs import replace
from psycopg import sql

from usercenter import logs, migrations
from usercenter.clock import SystemClock
from usercenter.config.model import Config, Embedded, Logging, Topics
from usercenter.db import Database
from usercenter.embedded.parts import Running, running
from usercenter.messaging import topics
from usercenter.messaging.client import client_settings

_TEMPLATE: Final = "bench_template"


class Ground:
    """An empty, migrated database and empty topics for one run; `parts` are the servers below, shared by all runs."""

    def __init__(self, config: Config, database: Database, parts: Running) -> None:
        self.config = config
        self.database = database
        self.parts = parts
        self.clock = SystemClock()

    async def settle(self) -> None:
        """Have PostgreSQL write out what the preparation left behind, so that the clock starts on a quiet server."""
        await asyncio.to_thread(_execute, self.config.database.url, sql.SQL("checkpoint"))

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        async with self.database.transaction() as tx:
            cursor = await tx.connection.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(table)))
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def sent(self) -> int:
        """How many messages lie on the topic of the user events."""
        return sum([high for _, high in await asyncio.to_thread(_watermarks, self.config)])


class Grounds:
    """Gives out fresh ground on parts that all runs share."""

    def __init__(self, parts: Running) -> None:
        self.parts = parts
        self.config = parts.config

    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path, *, announce: Callable[[str], None]) -> AsyncIterator[Self]:
        """Start the embedded parts with their data in this folder; they end with the block.

        The product's logs go where a service's go, into a file, for they are part of its work.
        """
        logging = Logging(file=str(folder / "usercenter.log"))
        logs.configure(logging, to_stderr=False)
        wanted = Config(embedded=Embedded(is_enabled=True, data_dir=str(folder / "parts")), logging=logging)
        async with running(wanted, announce=announce) as parts:
            url = parts.config.database.url
            await asyncio.to_thread(_execute, url, _named("create database {}", _TEMPLATE))
            await asyncio.to_thread(migrations.upgrade, _with_database(url, _TEMPLATE))
            yield cls(parts)

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[Ground]:
        """Ground for one run; its database is dropped at the end."""
        name = _new_name()
        server = self.config.database.url
        await asyncio.to_thread(_execute, server, _named("create database {} template {}", name, _TEMPLATE))
        try:
            async with self._with_topics(_config_of(self.config, name)) as ground:
                yield ground
        finally:
            await asyncio.to_thread(_execute, server, _named("drop database {} with (force)", name))

    @asynccontextmanager
    async def again(self, ground: Ground) -> AsyncIterator[Ground]:
        """The database of that ground as it is, and empty topics."""
        kafka = replace(ground.config.kafka, topics=_topics_of(_new_name()))
        async with self._with_topics(replace(ground.config, kafka=kafka)) as again:
            yield again

    @asynccontextmanager
    async def _with_topics(self, config: Config) -> AsyncIterator[Ground]:
        await asyncio.to_thread(topics.create_missing, config.kafka)
        database = Database(config.database)
        await database.open()
        try:
            yield Ground(config, database, self.parts)
        finally:
            await database.close()


def _new_name() -> str:
    return f"bench_{uuid4().hex[:12]}"


def _topics_of(name: str) -> Topics:
    return Topics(
        user_events=f"{name}.events", user_notifications=f"{name}.notifications", user_analytics=f"{name}.analytics"
    )


def _config_of(config: Config, name: str) -> Config:
    return replace(
        config,
        kafka=replace(config.kafka, topics=_topics_of(name), group_id=name),
        database=replace(config.database, url=_with_database(config.database.url, name)),
    )


def _with_database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


def _watermarks(config: Config) -> list[tuple[int, int]]:
    """The first and the next offset of each partition of the user events."""
    topic, kafka = config.kafka.topics.user_events, config.kafka
    consumer = confluent_kafka.Consumer(client_settings(kafka) | {"group.id": "bench"})
    try:
        found = range(kafka.new_topics.partitions)
        return [consumer.get_watermark_offsets(TopicPartition(topic, each), timeout=10) for each in found]
    finally:
        consumer.close()


def _named(statement: Any, *names: str) -> sql.Composed:
    return sql.SQL(statement).format(*map(sql.Identifier, names))


def _execute(url: str, statement: sql.SQL | sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
