"""The parts of one process, joined: the only place that knows all of them."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final, Literal, get_args

import redis.asyncio as redis
import structlog
from sqlalchemy.exc import OperationalError

from usercenter import migrations
from usercenter.api.app import front_door, service_door
from usercenter.api.idempotency import IdempotencyKeys, forget_older_than
from usercenter.api.services import Services
from usercenter.clock import Clock, SystemClock
from usercenter.config.model import Accounts, Config, Mail
from usercenter.db import Database, DatabaseUnavailable
from usercenter.events import USER_EVENTS, NotificationRequested, Registry
from usercenter.handlers import groups
from usercenter.messaging import upkeep
from usercenter.messaging.brokers import BrokerWatch
from usercenter.messaging.groups import Context, handlers_by_name
from usercenter.messaging.post import Post
from usercenter.metrics import Metrics
from usercenter.notify.mail import Mailer
from usercenter.server import HttpServer
from usercenter.supervision import Loops
from usercenter.users.passwords import Passwords
from usercenter.users.tokens import Tokens

log = structlog.get_logger()

Role = Literal["api", "relay", "worker"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
_SCHEMA_RETRY_SECONDS: Final = 1.0
_FORGET_EVERY_SECONDS: Final = 600.0


@asynccontextmanager
async def running(
    config: Config, *, roles: Collection[Role] = ROLES, clock: Clock | None = None
) -> AsyncIterator["Service"]:
    """One process of the service with these roles, started; stopped in order at the end of the block.

    Does not wait for Kafka or PostgreSQL. Raises PortTaken.
    """
    service = Service(config, roles=roles, clock=clock or SystemClock())
    try:
        await service.start()
        yield service
    finally:
        await service.stop()


class Service:
    """All parts of one process."""

    def __init__(self, config: Config, *, roles: Collection[Role], clock: Clock) -> None:
        self.config = config
        self.metrics = Metrics()
        self.database = Database(config.database)
        self._roles = roles
        self._schema_problem: str | None = "the schema has not been looked at yet"
        self._watch = BrokerWatch(config.kafka, clock=clock)
        self._passwords = Passwords()
        self._mailer = Mailer(config.mail)
        self._cache = redis.from_url(config.cache.url) if config.cache.url else None
        self._loops = Loops()
        self._groups = groups(config.kafka)
        self._post = Post(
            config,
            groups=self._groups,
            registry=Registry([*USER_EVENTS, NotificationRequested]),
            database=self.database,
            context=Context(clock=clock, services=self._for_handlers()),
            metrics=self.metrics,
            has_relay="relay" in roles,
            has_worker="worker" in roles,
        )
        services = self._for_requests(clock)
        is_api = "api" in roles
        self._server = HttpServer(
            front_door(services) if is_api else service_door(services),
            config.server,
            port=config.server.port if is_api else config.server.monitoring_port,
        )

    @property
    def url(self) -> str:
        """Where the process answers HTTP."""
        host, port = self._server.address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def problems(self) -> list[str]:
        """What keeps this process from working; empty when it is ready."""
        schema = [self._schema_problem] if self._schema_problem else []
        return [*schema, *self._loops.problems(), *self._post.problems()]

    def is_reading(self) -> bool:
        """Whether every consumer group of this process has its partitions."""
        return self._post.is_reading()

    async def start(self) -> None:
        """Begin all that this process's roles ask for."""
        await self.database.open()
        self._loops.keep("schema", self._check_schema)
        self._loops.keep("brokers", self._watch.keep)
        self._post.start()
        if "api" in self._roles:
            self._loops.keep("idempotency keys", self._forget_keys)
        if "worker" in self._roles:
            handlers = handlers_by_name(self._groups)
            self._loops.keep("levels", lambda: upkeep.measure(self.database, self.metrics, handlers))
            self._loops.keep("retention", lambda: upkeep.forget(self.database, self.config.retention))
        await self._server.start()
        log.info("service.started", url=self.url, roles=sorted(self._roles))

    async def stop(self) -> None:
        """No new work, what is in hand is finished, then everything is let go. May be called twice."""
        seconds = self.config.server.stop_seconds
        await self._server.stop()
        await self._post.close(timeout_seconds=seconds / 2)
        await self._loops.close()
        await self._mailer.close()
        if self._cache is not None:
            await self._cache.aclose()
        await self.database.close()
        self._passwords.close()
        log.info("service.stopped")

    def _for_handlers(self) -> dict[type, object]:
        return {Mailer: self._mailer, Mail: self.config.mail, Accounts: self.config.accounts}

    def _for_requests(self, clock: Clock) -> Services:
        tokens = Tokens(self.config.tokens, clock=clock)
        return Services(
            config=self.config,
            clock=clock,
            database=self.database,
            metrics=self.metrics,
            passwords=self._passwords,
            tokens=tokens,
            idempotency=IdempotencyKeys(tokens.derive_key),
            cache=self._cache,
            kafka_state=lambda: self._watch.state,
            problems=self.problems,
        )

    async def _forget_keys(self) -> None:
        """Delete idempotency keys past their retention, now and then."""
        while True:
            try:
                async with self.database.transaction() as tx:
                    await forget_older_than(tx, hours=self.config.retention.idempotency_key_hours)
            except DatabaseUnavailable:
                log.warning("idempotency.database_unavailable", next="tried again later")
            await asyncio.sleep(_FORGET_EVERY_SECONDS)

    async def _check_schema(self) -> None:
        """Until the schema is the one that this code needs: say so, and look again."""
        while True:
            try:
                found = await asyncio.to_thread(migrations.current, self.config.database.url)
            except OperationalError:
                self._schema_problem = "the schema cannot be looked at: PostgreSQL is not there"
            else:
                needed = migrations.head()
                if found == needed:
                    self._schema_problem = None
                    return
                self._schema_problem = f"the schema is {found or 'empty'}, not {needed}: run `usercenter db upgrade`"
                log.error("service.schema_outdated", found=found, needed=needed, next="usercenter db upgrade")
            await asyncio.sleep(_SCHEMA_RETRY_SECONDS)
