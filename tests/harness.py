"""What tests share: the service on a database and topics of its own, and waiting for what must come."""

import asyncio
import inspect
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar
from uuid import uuid4

import confluent_kafka
import httpx
import msgspec
import psycopg
from canaries import CANARIES
from command import command
from msgspec.structs import replace

from usercenter import bootstrap
from usercenter.bootstrap import ROLES, Role, Service
from usercenter.config.model import Config, Topics
from usercenter.db import Database, Signal
from usercenter.embedded.mail_catcher import CaughtMail
from usercenter.embedded.parts import Running
from usercenter.messaging.client import topics_by_stream
from usercenter.messaging.incoming import received
from usercenter.messaging.router import Received
from usercenter.tracing import Tracing
from usercenter.users.passwords import Passwords

T = TypeVar("T")

PATIENCE_SECONDS = 30.0
OF_THEIR_OWN = {"run", "kafka", "db"}
"""Commands that run as processes: they handle signals, give their streams to others, or set up logging."""
HOOKS: dict[str, list[Any]] = {"request": [CANARIES.sent], "response": [CANARIES.answered]}
TEMPLATE = "usercenter_template"
"""The migrated database that all others are copies of."""
START_SECONDS = 90.0
"""A process may have to wait for its turn on a busy machine."""


async def eventually(
    look: Callable[[], T | Awaitable[T]],
    is_there: Callable[[T], bool] = bool,
    *,
    what: str,
    timeout_seconds: float = PATIENCE_SECONDS,
) -> T:
    """Look again and again until it is there; fails with the last look when it does not come."""
    deadline = time.monotonic() + timeout_seconds
    pause = Signal()  # never set: its wait is the pause between two looks
    while True:
        seen = look()
        found: T = await seen if inspect.isawaitable(seen) else seen  # type: ignore[assignment]
        if is_there(found):
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {timeout_seconds:g} s; last seen: {found!r}")
        await pause.wait(0.02)


class World:
    """A database and topics that belong to one test, on the parts that all tests share."""

    def __init__(self, parts: Running, config: Config, database: Database) -> None:
        self.parts = parts
        self.config = config
        self.database = database

    @asynccontextmanager
    async def service(
        self,
        *,
        roles: Collection[Role] = ROLES,
        config: Config | None = None,
        passwords: Passwords | None = None,
        tracing: Tracing | None = None,
    ) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
        """The service in this process, with a client for its HTTP API."""
        async with (
            bootstrap.running(config or self.config, roles=roles, passwords=passwords, tracing=tracing) as service,
            httpx.AsyncClient(base_url=service.url, timeout=30, event_hooks=HOOKS) as client,
        ):
            yield service, client

    @asynccontextmanager
    async def process(
        self,
        *,
        roles: str = "api,relay,worker",
        config: Config | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> AsyncIterator["Process"]:
        """The service as a process of its own, as `usercenter run` starts it; killed at the end if it still runs.

        `environment` is added to this process's own.
        """
        with tempfile.NamedTemporaryFile("wb", suffix=".yaml") as file:
            file.write(msgspec.yaml.encode(config or self.config))
            file.flush()
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "usercenter", "run", "--roles", roles, "--config", file.name,
                env={**os.environ, **(environment or {})},
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            process = Process(child)
            try:
                await process.until_up()
                yield process
            finally:
                await process.end()

    async def command(self, *arguments: str, server_port: int = 0) -> tuple[int, str]:
        """Run `usercenter …` on this world to its end; returns the exit status and what it said, stdout and stderr.

        In this process, but for those commands that need one of their own: to import all takes seconds.
        """
        config = replace(self.config, server=replace(self.config.server, port=server_port))
        if arguments[0] in OF_THEIR_OWN:
            status, said = await self._process_of(config, *arguments)
        else:
            status, data, rest = await asyncio.wait_for(command(config, *arguments), PATIENCE_SECONDS)
            said = data + rest
        if arguments[:1] != ("webhooks",):  # which tell a new secret, once, to whoever asked for it
            CANARIES.hear(f"usercenter {arguments[0]}", said)
        return status, said

    async def _process_of(self, config: Config, *arguments: str) -> tuple[int, str]:
        with tempfile.NamedTemporaryFile("wb", suffix=".yaml") as file:
            file.write(msgspec.yaml.encode(config))
            file.flush()
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "usercenter", *arguments,
                env={**os.environ, "USERCENTER_CONFIG": file.name},
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            said, _ = await asyncio.wait_for(child.communicate(), PATIENCE_SECONDS)
        return child.returncode or 0, said.decode()

    async def rows(self, query: Any, *parameters: Any) -> list[Any]:
        """Rows of the test's database."""
        async with self.database.transaction() as tx:
            return await tx.fetch_all(query, parameters)

    async def value(self, query: Any, *parameters: Any) -> Any:
        """The first column of the first row."""
        return (await self.rows(query, *parameters))[0][0]

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(await self.value(f"select count(*) from {table}"))  # noqa: S608  # a name from the test

    def messages(self, stream: str) -> list[Received]:
        """Everything that lies on a topic, in the order of each partition. Blocks for a moment."""
        settings = {"bootstrap.servers": ",".join(self.config.kafka.brokers), "group.id": "looking-on"}
        consumer = confluent_kafka.Consumer(settings)
        topic = topics_by_stream(self.config.kafka)[stream]
        found = []
        for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            partition = confluent_kafka.TopicPartition(topic, number, 0)
            end = _end_of(consumer, partition)
            consumer.assign([partition])
            while end > 0 and (message := consumer.poll(10)) is not None:
                found.append(received(message))
                if found[-1].offset >= end - 1:
                    break
        consumer.close()
        return found

    def mails(self) -> list[CaughtMail]:
        """The mails to addresses of this test, in the order of arrival."""
        assert self.parts.mail is not None
        return [mail for mail in self.parts.mail.mails if self.domain in str(mail.recipients)]

    @property
    def domain(self) -> str:
        """The mail domain of this test's users: tells its mails from those of others."""
        return f"{self.config.kafka.client_id}.example.com"

    def email(self, name: str) -> str:
        """An address of this test."""
        return f"{name}@{self.domain}"

    def registration(self, name: str, **fields: Any) -> dict[str, Any]:
        """A body for POST /register."""
        return {"username": name, "email": self.email(name), "password": "password123", **fields}


def _end_of(consumer: confluent_kafka.Consumer, partition: confluent_kafka.TopicPartition) -> int:
    """Where a partition ends; asks again while it has no leader yet, or a new one."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return int(consumer.get_watermark_offsets(partition, timeout=10)[1])
        except confluent_kafka.KafkaException as error:
            is_moving = error.args[0].code() == confluent_kafka.KafkaError.NOT_LEADER_FOR_PARTITION
            if not is_moving or time.monotonic() > deadline:
                raise
            consumer.poll(0.1)


class Process:
    """A running `usercenter run`."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self.lines: list[str] = []
        self.url = ""
        self._is_up = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def until_up(self) -> None:
        """Wait until it answers HTTP."""
        waiting = asyncio.create_task(self._is_up.wait())
        await asyncio.wait({waiting, self._reading}, return_when=asyncio.FIRST_COMPLETED, timeout=START_SECONDS)
        waiting.cancel()
        assert self.url, "the process did not come up:\n" + "\n".join(self.lines)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, return the exit status."""
        self.child.send_signal(number)
        return await asyncio.wait_for(self.child.wait(), PATIENCE_SECONDS)

    async def died(self) -> int:
        """Wait until it ends by itself; return the exit status."""
        return await asyncio.wait_for(self.child.wait(), PATIENCE_SECONDS)

    async def end(self) -> None:
        """Kill it if it still runs, and read what it said to the end."""
        if self.child.returncode is None:
            self.child.kill()
        await self.child.wait()
        await self._reading

    async def _read(self) -> None:
        assert self.child.stderr is not None
        async for line in self.child.stderr:
            text = line.decode().rstrip()
            self.lines.append(text)
            CANARIES.hear("a process's stderr", text)
            if " answers at " in text and not text.startswith("{"):
                self.url = text.rsplit(" ", 1)[1]
                self._is_up.set()


def config_of(parts: Running, database_url: str) -> Config:
    """A configuration with topics, groups and client ids that nobody else uses, and free ports."""
    mark = f"t{uuid4().hex[:10]}"
    config = parts.config
    for line in config.tokens.private_key.splitlines()[1:-1]:
        CANARIES.keep("private key", line)
    CANARIES.keep("SMTP password", config.mail.password)
    kafka = replace(
        config.kafka,
        client_id=mark,
        group_id=f"{mark}.usercenter",
        topics=Topics(
            user_events=f"{mark}.user.events",
            user_notifications=f"{mark}.user.notifications",
            user_analytics=f"{mark}.user.analytics",
        ),
    )
    quick = replace(kafka.consumer, session_timeout_ms=3000, heartbeat_interval_ms=1000)
    return replace(
        config,
        kafka=replace(kafka, consumer=quick),
        database=replace(config.database, url=database_url),
        cache=replace(config.cache, session_seconds=0),  # tests change rows behind the service's back
        tasks=replace(config.tasks, first_retry_ms=50, lease_seconds=4),
        relay=replace(config.relay, lease_seconds=4),
        recovery=replace(config.recovery, requests_per_network_hour=10_000),  # all tests come from one address
        logins=replace(config.logins, wrong_passwords_per_name=1_000, wrong_passwords_per_network=10_000),
        server=replace(config.server, port=0, monitoring_port=0),
        embedded=replace(config.embedded, is_enabled=False),
    )


@contextmanager
def fresh_database(parts: Running, template: str = TEMPLATE) -> Iterator[str]:
    """The URL of a copy of the migrated template, or of another one, which is gone afterwards."""
    url = new_database(parts, template)
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    try:
        yield url
    finally:
        execute(parts.config.database.url, f"drop database if exists {name} with (force)")  # unless its test did it


def new_database(parts: Running, template: str) -> str:
    """A fresh copy of a database; returns its URL. To copy whole files takes half as long as page by page."""
    name = f"test_{uuid4().hex[:12]}"
    execute(parts.config.database.url, f"create database {name} template {template} strategy file_copy")
    return with_database(parts.config.database.url, name)


def execute(url: str, statement: Any) -> None:
    """One statement outside any transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return psycopg.conninfo.make_conninfo(url, dbname=name) if "://" not in url else _replace_path(url, name)


def _replace_path(url: str, name: str) -> str:
    head, _, query = url.partition("?")
    return head.rsplit("/", 1)[0] + "/" + name + (f"?{query}" if query else "")
