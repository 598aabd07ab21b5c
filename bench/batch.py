"""From messages to their effects: the inbox, settings, login log, last login and the request for the welcome mail.

The product's router takes 500 messages into one transaction and gives each handler its events at once. The contender
has one transaction for each event, with those five effects written as plain statements; it has no verdict on a login,
no facts for the statistics, no tasks for the cache, no parking of events that fail, no counting, all of which the
product has. Both get the same messages from memory, so that this measures no Kafka.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg

from bench import traffic
from bench.ground import Ground
from bench.measure import Measure, WorkNotDone, rate
from usercenter.bootstrap import workshop
from usercenter.events import (
    USER_EVENTS,
    Event,
    NotificationRequested,
    Registry,
    UserLoggedIn,
    UserRegistered,
    derived_id,
    encode,
    headers_of,
)
from usercenter.messaging.batch import Received
from usercenter.messaging.groups import Schedule
from usercenter.messaging.router import Router
from usercenter.messaging.shards import shard_of
from usercenter.metrics import Metrics

Connection = psycopg.Connection[Any]


async def by_the_product(ground: Ground, number: int, *, users: Sequence[UUID] = ()) -> dict[str, float]:
    """The product's own router with its own handlers for `user.events`; of new users, or of those who are known."""
    config, before = ground.config, await _counts(ground)
    messages, size = _messages(ground, number, users), config.kafka.consumer.batch_messages
    async with workshop(config) as parts:
        router = Router(
            parts.groups[0],
            registry=parts.registry,
            database=parts.database,
            context=parts.context,
            config=config,
            schedule=Schedule(),
            metrics=Metrics(),
        )
        await ground.settle()
        began = time.perf_counter()
        for start in range(0, number, size):
            await router.handle(messages[start : start + size])
        seconds = time.perf_counter() - began
    await _prove(ground, number, before, are_new=not users)
    return rate(number, seconds)


async def one_by_one(ground: Ground, number: int) -> dict[str, float]:
    """A transaction for each event, on one connection that does nothing else."""
    messages, before = _messages(ground, number), await _counts(ground)
    await ground.settle()
    seconds = await asyncio.to_thread(_loop, ground, messages)
    await _prove(ground, number, before)
    return rate(number, seconds)


MEASURE: Final = Measure(
    name="batch",
    work="messages in memory → inbox and all effects, committed; a registration and three logins of each user",
    events=20_000,
    contenders={"the product's router": by_the_product, "one event per transaction": one_by_one},
)


def _registry() -> Registry:
    return Registry([*USER_EVENTS, NotificationRequested])


def _messages(ground: Ground, number: int, users: Sequence[UUID] = ()) -> list[Received]:
    topic = ground.config.kafka.topics.user_events
    return [
        Received(topic, 0, offset, str(event.user_id).encode(), encode(event), headers_of(event))
        for offset, event in enumerate(traffic.events(number, users))
    ]


def _loop(ground: Ground, messages: Sequence[Received]) -> float:
    registry, group = _registry(), ground.config.kafka.group_id
    with psycopg.connect(ground.config.database.url, autocommit=True) as connection:
        began = time.perf_counter()
        for message in messages:
            event = registry.decode(message.value)
            with connection.transaction():
                if connection.execute(_ADMIT, (group, event.id)).rowcount:
                    _have_effects(connection, event, ground)
        return time.perf_counter() - began


def _have_effects(connection: Connection, event: Event, ground: Ground) -> None:
    if isinstance(event, UserRegistered):
        accounts = ground.config.accounts
        locale = event.locale or accounts.default_locale
        connection.execute(
            _SETTINGS,
            (event.user_id, locale, accounts.default_time_zone, _CHOICES, event.timestamp, event.timestamp),
        )
        _ask_for_mail(connection, event, ground)
    if isinstance(event, UserLoggedIn):
        connection.execute(_LOGIN_LOG, (event.id, event.user_id, event.timestamp, event.ip_address, event.user_agent))
        connection.execute(_LAST_LOGIN, (event.user_id, event.timestamp, event.ip_address))


def _ask_for_mail(connection: Connection, event: UserRegistered, ground: Ground) -> None:
    request = NotificationRequested(
        id=derived_id(event.id, "welcome"),
        timestamp=ground.clock.now(),
        request_id=event.request_id,
        user_id=event.user_id,
        actor="system",
        causation_id=event.id,
        template="welcome",
        to=event.email,
        locale=event.locale,
        parameters={"username": event.username, "email": event.email},
    )
    headers = msgspec.json.encode(headers_of(request)).decode()
    row = (request.id, request.stream, str(request.user_id), request.type, encode(request), headers)
    connection.execute(_OUTBOX, (*row, shard_of(request.user_id)))


async def _counts(ground: Ground) -> dict[str, int]:
    return {table: await ground.count(table) for table in ("inbox", "user_settings", "login_log", "last_logins")}


async def _prove(ground: Ground, number: int, before: Mapping[str, int], *, are_new: bool = True) -> None:
    users = number // traffic.EVENTS_OF_A_USER
    rows = users if are_new else 0
    wanted = {"inbox": number, "user_settings": rows, "login_log": number - users, "last_logins": rows}
    found = {table: after - before[table] for table, after in (await _counts(ground)).items()}
    if found != wanted:
        raise WorkNotDone(f"{found} rows have come instead of {wanted}")
    if await ground.count("outbox") < users:
        raise WorkNotDone("not every user got the request for a welcome mail")


_CHOICES: Final = '{"mail":true,"sms":false}'
_ADMIT: Final = "insert into inbox (group_name, event_id) values (%s, %s) on conflict do nothing"
_SETTINGS: Final = """
insert into user_settings (user_id, locale, time_zone, notifications, created_at, updated_at)
values (%s, %s, %s, %s, %s, %s) on conflict do nothing
"""
_OUTBOX: Final = """
insert into outbox (id, aggregatetype, aggregateid, type, payload, headers, shard)
values (%s, %s, %s, %s, %s, %s, %s)
"""
_LOGIN_LOG: Final = """
insert into login_log (event_id, user_id, logged_in_at, ip_address, user_agent)
values (%s, %s, %s, %s, %s) on conflict do nothing
"""
_LAST_LOGIN: Final = """
insert into last_logins (user_id, logged_in_at, ip_address) values (%s, %s, %s)
on conflict (user_id) do update set logged_in_at = excluded.logged_in_at, ip_address = excluded.ip_address
where last_logins.logged_in_at < excluded.logged_in_at
"""
