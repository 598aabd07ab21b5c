"""The parts of one process, joined: the only place that knows all of them."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final, Literal, NamedTuple, get_args
from uuid import UUID

import redis.asyncio as redis
import structlog

from usercenter import memory
from usercenter.api.idempotency import IdempotencyKeys, keep_forgetting
from usercenter.api.observed import Application
from usercenter.api.service_door import service_door
from usercenter.api.services import Services
from usercenter.clock import Clock, SystemClock
from usercenter.config.model import Accounts, Analytics, Config, Logins, Mail, Server, Sms
from usercenter.db import Database
from usercenter.events import EVENTS, Event, Registry, UserDeleted, UserEvent
from usercenter.events.envelope import type_of
from usercenter.extension.loading import extended
from usercenter.handlers import groups
from usercenter.handlers.erasure import Witnesses
from usercenter.messaging import upkeep
from usercenter.messaging.brokers import BrokerWatch
from usercenter.messaging.client import topics_by_stream
from usercenter.messaging.groups import Context, Group
from usercenter.messaging.open_breakers import Teller
from usercenter.messaging.operations.accounting import Accounting
from usercenter.messaging.overviews import Overviews
from usercenter.messaging.post import Post
from usercenter.messaging.sets import AT_ONCE
from usercenter.messaging.snapshots import Snapshots
from usercenter.metrics import Metrics
from usercenter.migrations.watch import SchemaWatch
from usercenter.notify.mail import Mailer
from usercenter.notify.sms import SmsProvider, provider_of
from usercenter.server import HttpServer
from usercenter.supervision import Loops
from usercenter.tracing import UNTRACED, Tracing
from usercenter.users import retention
from usercenter.users.cache import UserCache
from usercenter.users.changes import Changes
from usercenter.users.copies import Copies
from usercenter.users.exports import Exports
from usercenter.users.guesses import Guesses
from usercenter.users.one_time_links import OneTimeLinks
from usercenter.users.owners import Owners
from usercenter.users.passwords import Passwords
from usercenter.users.places import Places
from usercenter.users.pseudonyms import Pseudonyms
from usercenter.users.reset_limits import ResetLimits
from usercenter.users.signed_tokens import SignedTokens
from usercenter.users.tokens import Tokens
from usercenter.webhooks.service import Webhooks

log = structlog.get_logger()

Role = Literal["api", "relay", "worker"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)


@asynccontextmanager
async def running(
    config: Config,
    *,
    roles: Collection[Role] = ROLES,
    clock: Clock | None = None,
    passwords: Passwords | None = None,
    tracing: Tracing | None = None,
) -> AsyncIterator["Service"]:
    """One process of the service with these roles, started; stopped in order at the end of the block.

    Does not wait for Kafka or PostgreSQL. `tracing` is closed with it. Raises PortTaken, TracingUnavailable.
    """
    tracing = tracing or tracing_of(config)
    service = Service(config, roles=roles, clock=clock or SystemClock(), passwords=passwords, tracing=tracing)
    try:
        await service.start()
        yield service
    finally:
        await service.stop()


class TracingUnavailable(Exception):
    """`tracing.endpoint` is set, and OpenTelemetry is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "tracing.endpoint is set and OpenTelemetry is not installed: pip install 'usercenter[otel]', "
            "or leave tracing.endpoint empty"
        )


class Workshop(NamedTuple):
    """What an operator's command works with."""

    database: Database
    groups: Sequence[Group]
    registry: Registry
    context: Context
    """What the handlers get, with all their services."""
    streams: Mapping[str, str]
    """By topic."""


@asynccontextmanager
async def workshop(config: Config, *, clock: Clock | None = None) -> AsyncIterator[Workshop]:
    """The parts of the service with nothing running: no loop, no consumer, no HTTP. Closed at the end of the block."""
    service = Service(config, roles=(), clock=clock or SystemClock(), passwords=Passwords())
    await service.database.open()
    try:
        yield service.workshop()
    finally:
        await service.stop()


class Service:
    """All parts of one process."""

    def __init__(
        self,
        config: Config,
        *,
        roles: Collection[Role],
        clock: Clock,
        passwords: Passwords | None = None,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self.config = config
        self.metrics = Metrics()
        self.database = Database(config.database)
        self._tracing = tracing
        self._roles = roles
        self._schema = SchemaWatch(self.database)
        self._watch = BrokerWatch(config.kafka, clock=clock)
        self._passwords = passwords or Passwords()
        self._tokens = Tokens(config.tokens, clock=clock)
        self._one_time_tokens = SignedTokens(self._tokens.derive_key("one-time token"))
        self._pseudonyms = Pseudonyms(self._tokens.derive_key("pseudonym"))
        self._mailer = Mailer(config.mail, tracing=tracing)
        self._sms = provider_of(config.sms, tracing=tracing)
        self._places = Places(config.logins.geoip_file)
        self._cache = redis.from_url(config.cache.url) if config.cache.url else None
        self._copies = Copies(seconds=config.cache.session_seconds)
        self._changes = Changes(config.cache.url, self._copies)
        self.database.tell = self._changes.tell
        self._users = UserCache(self._cache, ttl_seconds=config.cache.ttl_seconds, metrics=self.metrics)
        events, self._groups = reactions_of(config)
        self._webhooks = webhooks_of(config, database=self.database, clock=clock, tracing=tracing)
        self._loops = Loops()
        self._registry = Registry(events)
        self._context = Context(clock=clock, services=self._for_handlers())
        self._post = Post(
            config,
            groups=self._groups,
            registry=self._registry,
            database=self.database,
            context=self._context,
            metrics=self.metrics,
            has_relay="relay" in roles,
            has_worker="worker" in roles,
            tracing=tracing,
        )
        self._snapshots = Snapshots(config.kafka, database=self.database, groups=self._groups, metrics=self.metrics)
        self._overviews = Overviews(
            config,
            database=self.database,
            groups=[group.name for group in self._groups],
            state=lambda: self._watch.state,
        )
        self._accounting = Accounting(
            config, database=self.database, groups=self._groups, registry=self._registry, metrics=self.metrics
        )
        self._server = _server_of(config.server, self._for_requests(clock), roles) if roles else None

    @property
    def url(self) -> str:
        """Where the process answers HTTP. Raises LookupError where it has no role, and answers nobody."""
        if self._server is None:
            raise LookupError("a process without a role answers no HTTP")
        host, port = self._server.address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def workshop(self) -> Workshop:
        """What operators work with."""
        streams = {topic: stream for stream, topic in topics_by_stream(self.config.kafka).items()}
        return Workshop(self.database, self._groups, self._registry, self._context, streams)

    def problems(self) -> list[str]:
        """What keeps this process from working; empty when it is ready."""
        schema = [self._schema.problem] if self._schema.problem else []
        return [*schema, *self._loops.problems(), *self._post.problems()]

    def notes(self) -> list[str]:
        """What is worth knowing, and keeps nothing from working."""
        return self._post.notes()

    def is_reading(self) -> bool:
        """Whether every consumer group of this process has its partitions."""
        return self._post.is_reading()

    async def cached_sequence(self, user_id: UUID) -> int | None:
        """Which version of a user the cache has; None for none. Raises CacheUnreachable."""
        return await self._users.sequence_of(user_id)

    async def start(self) -> None:
        """Begin all that this process's roles ask for; what works with the tables begins once they are there."""
        await self.database.open()
        self._loops.keep("brokers", self._watch.keep)
        self._loops.keep("memory", memory.keep_giving_back)
        if "api" in self._roles and self.config.cache.session_seconds:
            self._loops.keep("changes", self._changes.keep_listening)
        if "worker" in self._roles:
            upkeep.expect(self.metrics, self._groups, topics_by_stream(self.config.kafka))
        self._loops.keep("schema", self._begin)
        if self._server is not None:
            await self._server.start()
            log.info("service.started", url=self.url, roles=sorted(self._roles))

    async def _begin(self) -> None:
        await self._schema.until_fit()
        self._post.start()
        if "api" in self._roles:
            hours = self.config.retention.idempotency_key_hours
            self._loops.keep("idempotency keys", lambda: keep_forgetting(self.database, hours=hours))
        if "worker" in self._roles:
            self._loops.keep("levels", lambda: upkeep.measure(self.database, self.metrics, self._groups))
            self._loops.keep("snapshots", self._snapshots.keep)
            self._loops.keep("overviews", self._overviews.keep)
            self._loops.keep("breakers", Teller(self.database, self._post.open_breakers).keep)
            self._loops.keep("books", self._accounting.keep)
            self._loops.keep("personal logs", lambda: retention.keep_forgetting(self.database, self.config))
            self._loops.keep("retention", lambda: upkeep.forget(self.database, self.config.retention))
            self._loops.keep("webhook deliveries", self._webhooks.keep_forgetting)

    async def stop(self) -> None:
        """No new work, what is in hand is finished, then everything is let go. May be called twice."""
        seconds = self.config.server.stop_seconds
        async with AsyncExitStack() as steps:  # the last one named is the first one taken; each is, whatever fails
            steps.push_async_callback(self._tracing.close)
            steps.callback(self._passwords.close)
            steps.callback(self._places.close)
            steps.push_async_callback(self.database.close)
            if self._cache is not None:
                steps.push_async_callback(self._cache.aclose)
            steps.push_async_callback(self._changes.close)
            steps.push_async_callback(self._webhooks.close)
            steps.push_async_callback(self._sms.close)
            steps.push_async_callback(self._mailer.close)
            steps.push_async_callback(self._loops.close)
            steps.push_async_callback(self._post.close, timeout_seconds=seconds / 2)
            steps.push_async_callback(self._loops.cancel, "schema")  # what it would begin would not be closed
            if self._server is not None:
                steps.push_async_callback(self._server.stop)
        log.info("service.stopped")

    def _for_handlers(self) -> dict[type, object]:
        return {
            Analytics: self.config.analytics,
            Pseudonyms: self._pseudonyms,
            Witnesses: Witnesses(tuple(group.name for group in self._groups if UserDeleted in group.handlers)),
            Metrics: self.metrics,
            Database: self.database,
            Mailer: self._mailer,
            UserCache: self._users,
            SmsProvider: self._sms,
            Sms: self.config.sms,
            OneTimeLinks: OneTimeLinks(self._one_time_tokens, self.config.mail),
            Webhooks: self._webhooks,
            Mail: self.config.mail,
            Accounts: self.config.accounts,
            Logins: self.config.logins,
            Places: self._places,
        }

    def _for_requests(self, clock: Clock) -> Services:
        return Services(
            config=self.config,
            clock=clock,
            database=self.database,
            metrics=self.metrics,
            passwords=self._passwords,
            tokens=self._tokens,
            owners=Owners(self.database, self._copies, clock=clock),
            refresh_tokens=SignedTokens(self._tokens.derive_key("refresh token")),
            one_time_tokens=self._one_time_tokens,
            idempotency=IdempotencyKeys(self._tokens.derive_key),
            reset_limits=ResetLimits(self.config.recovery, self._tokens.derive_key("reset requests")),
            guesses=self._guesses(clock),
            exports=Exports(self.database, at_once=self.config.server.concurrent_exports),
            webhooks=self._webhooks,
            cache=self._cache,
            users=self._users,
            pseudonyms=self._pseudonyms,
            kafka_state=lambda: self._watch.state,
            problems=self.problems,
            troubles=self._post.troubles,
            notes=self.notes,
            tracing=self._tracing,
        )

    def _guesses(self, clock: Clock) -> Guesses:
        key = self._tokens.derive_key("password guesses")
        return Guesses(self.config.logins, key, metrics=self.metrics, clock=clock)


def _server_of(settings: Server, services: Services, roles: Collection[Role]) -> HttpServer:
    """The door of these roles, on the port that is theirs, which is held from now on. Raises PortTaken."""
    if "api" in roles:
        return HttpServer(_front_door(services), settings, port=settings.port)
    return HttpServer(service_door(services), settings, port=settings.monitoring_port, setting="monitoring_port")


def _front_door(services: Services) -> Application:
    """The whole API; the web framework is imported where it is used."""
    from usercenter.api.app import front_door

    return front_door(services)


def reactions_of(config: Config) -> tuple[tuple[type[Event], ...], tuple[Group, ...]]:
    """The events and the groups of this configuration, its extensions' too. Raises ExtensionInvalid."""
    return extended(config.extensions, events=EVENTS, groups=partial(groups, config.kafka))


def tracing_of(config: Config) -> Tracing:
    """The tracing that the configuration asks for. Raises TracingUnavailable."""
    if not config.tracing.endpoint:
        return UNTRACED
    try:
        from usercenter import otel
    except ImportError as error:
        raise TracingUnavailable from error
    return otel.exporting(config.tracing, longest_batch=max(config.kafka.consumer.batch_messages, AT_ONCE))


def webhooks_of(config: Config, *, database: Database, clock: Clock, tracing: Tracing = UNTRACED) -> Webhooks:
    """The webhooks on this database, for the service and for the command. Raises ExtensionInvalid."""
    events, _ = reactions_of(config)
    return Webhooks(
        config.webhooks,
        database=database,
        clock=clock,
        derive=Tokens(config.tokens, clock=clock).derive_key,
        tracing=tracing,
        event_types={type_of(event) for event in events if event.stream == UserEvent.stream},
    )
