"""The same work in small and in large tables: does anything become slower because a company has grown?

Not part of a whole run, for a database of ten million events takes minutes to fill: `make bench MEASURE=growth`. A
database of each size is filled by SQL with users of the past, their settings, last logins, login log, events and inbox.
Then all of them take turns, three times: the product's relay, its router with events of some of those users, and its
API do the same work as in their own measures. What a turn leaves behind (20,000 events) stays, but for unfinished work.
"""

import asyncio
from functools import partial
from typing import Final
from uuid import UUID

import psycopg

from bench import batch, relay
from bench.ground import Ground
from bench.http import ROUTES, opened
from bench.measure import Figure, Goal, Measure

_CONNECTIONS: Final = 8
_SENT: Final = "events/s sent"
_RECEIVED: Final = "events/s received"
_SIZES: Final = {
    "10 k users, 100 k events": (10_000, 10),
    "100 k users, 1 M events": (100_000, 10),
    "1 M users, 1 M events": (1_000_000, 1),
    "1 M users, 10 M events": (1_000_000, 10),
}
_FIRST: Final = next(iter(_SIZES))
_EVENTS_OF_A_LOGIN: Final = 2
"""Of the events of the past, one in so many is a login."""


async def filled(ground: Ground, *, users: int, each: int) -> None:
    """So many users of the past, each with so many events."""
    await asyncio.to_thread(_fill, ground.config.database.url, ground.config.kafka.group_id, users, each)


async def work(ground: Ground, number: int) -> dict[str, float]:
    """The product's work on a quiet server, with nothing left of the turn before."""
    await asyncio.to_thread(_clear, ground.config.database.url)
    await ground.settle()
    found = {_SENT: (await relay.by_the_product(ground, number))["events/s"]}
    some = await _some_users(ground, number // 4)
    found[_RECEIVED] = (await batch.by_the_product(ground, number, users=some))["events/s"]
    async with opened(ground, 0) as door:
        await ground.settle()
        for route in ROUTES:
            await door.load(route, _CONNECTIONS, seconds=1)
            found[f"{route}/s"] = (await door.load(route, _CONNECTIONS)).per_second
    return found


def _figures() -> list[Figure]:
    routes = [Figure(name=f"{route}/s", unit="requests/s") for route in ROUTES]
    return [Figure(name=_SENT, unit="events/s"), Figure(name=_RECEIVED, unit="events/s"), *routes]


def _goals() -> list[Goal]:
    """Held for the largest; the page shows those between."""
    *_, largest = _SIZES
    return [
        Goal(
            words=f"no more than 20 % less with {largest}: {figure.name}",
            figure=figure.name,
            contender=largest,
            against=_FIRST,
            at_least=0.8,
        )
        for figure in _figures()
    ]


MEASURE: Final = Measure(
    name="growth",
    work="relay, router and API, each the same work in tables of different sizes",
    events=20_000,
    contenders=dict.fromkeys(_SIZES, work),
    prepared={name: partial(filled, users=users, each=each) for name, (users, each) in _SIZES.items()},
    figures=_figures(),
    goals=_goals(),
    are_rivals=False,
    warm_up_share=1,
    warm_up_by=(_FIRST,),  # for the broker, which is slow when it is new
    patience_seconds=900,
)


async def _some_users(ground: Ground, number: int) -> list[UUID]:
    """So many users of the past, from anywhere among them; others on every ground."""
    async with ground.database.transaction() as tx:
        rows = await tx.fetch_all(
            "select id from users where username like 'grown%%' order by hashtext(id::text || %s) limit %s",
            (ground.config.kafka.topics.user_events, number),
        )
    return [row[0] for row in rows]


def _clear(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("truncate outbox, tasks")
        connection.execute("delete from users where username not like 'grown%'")


def _fill(url: str, group: str, users: int, each: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_USERS, (users,))
        for statement in _OF_EACH_USER:
            connection.execute(statement)
        for turn in range(1, each + 1):  # as they came: everybody's first events, then everybody's second ones
            connection.execute(_EVENTS, (turn,))
            connection.execute(_INBOX, (group, turn))
            if turn % _EVENTS_OF_A_LOGIN:
                connection.execute(_LOGINS, (turn,))
        connection.execute("vacuum (analyze)")


_USERS: Final = """
insert into users (id, username, username_key, email, email_key, password_hash, first_name, sequence, created_at,
    updated_at)
select uuidv7(), 'grown' || n, 'grown' || n, 'grown' || n || '@example.com', 'grown' || n || '@example.com',
    '$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$7e0vRrCcWFSVtSrZWgG2HJOeMWHZAZg7WyNOHrQKtSE', 'Ana', 1,
    now() - interval '1 year', now()
from generate_series(1, %s) n
"""
_OF_EACH_USER: Final = (
    """
    insert into user_settings (user_id, locale, time_zone, notifications, created_at, updated_at)
    select id, 'en', 'UTC', '{"mail":true,"sms":false}', created_at, updated_at from users
    """,
    """
    insert into last_logins (user_id, logged_in_at, ip_address)
    select id, now() - interval '1 day', '192.0.2.7' from users
    """,
)
_EVENTS: Final = """
insert into event_log (user_id, sequence, id, type, payload)
select id, %s, uuidv7(), 'user.logged_in', json_build_object('id', uuidv7(), 'type', 'user.logged_in', 'source',
    'usercenter', 'timestamp', now(), 'version', '1.0', 'request_id', uuidv7(), 'user_id', id, 'username', username,
    'email', email, 'ip_address', '192.0.2.7', 'user_agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0')
from users
"""
_INBOX: Final = "insert into inbox (group_name, event_id) select %s, id from event_log where sequence = %s"
_LOGINS: Final = """
insert into login_log (event_id, user_id, logged_in_at, ip_address, user_agent, device)
select id, user_id, created_at, '192.0.2.7', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0',
    'Firefox 140 on Linux'
from event_log where sequence = %s
"""
