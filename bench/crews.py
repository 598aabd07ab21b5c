"""How many of what: workers against partitions, relays, the connections of a pool, and what one core carries.

Not part of a whole run: `make bench MEASURE=crews`. All are the product's own processes; they share the machine's cores
with PostgreSQL and Kafka (and with wrk), so two of them can carry twice as much only where cores are left for that.
The CPU time of a process over what it did is the time of a core for each event or request, without what PostgreSQL and
Kafka need for it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from bench import traffic, tuning
from bench.ground import Ground
from bench.http import Door, opened
from bench.load import Load
from bench.measure import Figure, Measure, Run, WorkNotDone
from bench.process import Running, cpu_seconds, product
from bench.shares import groups_of, have_partitions, have_shards, until
from usercenter.config.model import Config
from usercenter.messaging import outbox, topics

_PARTITIONS: Final = (1, 3, 6, 12)
_WORKERS: Final = (1, 2)
_RELAYS: Final = (1, 2, 3)
_POOLS: Final = (2, 5, 10, 20)
_HANDLED: Final = "events/s handled"
_SENT: Final = "events/s sent"
_CHANGED: Final = "PATCH /me at 32"
_P99: Final = "p99 of PATCH /me at 32"
_ROUTES: Final = {"register": "register", "login": "login", "patch": "PATCH /me", "me": "GET /me"}
_SECONDS: Final = 2
_LOOK_EVERY_SECONDS: Final = 0.05
_LOOK_AT_OUTBOX_EVERY_SECONDS: Final = 0.01  # its first row is found at once
_AT_ONCE: Final = 1_000


async def workers(ground: Ground, number: int, *, crew: int, partitions: int) -> dict[str, float]:
    """Events that lie on their topic, until both groups that read it have handled each of them.

    Each worker has its partitions before the events come; a lock on the inbox holds all of them up until the relay has
    sent everything and has ended.
    """
    tuning.prepare(ground, "kafka.new_topics.partitions", partitions)
    await asyncio.to_thread(topics.create_missing, ground.config.kafka)
    async with _processes(ground.config, "worker", crew) as running:
        async with AsyncExitStack() as holding:
            async with product(ground.config, roles="relay"):
                await until(partial(have_partitions, ground.config, crew))
                tx = await holding.enter_async_context(ground.database.transaction())
                await tx.execute("lock table inbox in share mode")
                await _commit(ground, number)
                await until(partial(_is_outbox_empty, ground))
            await ground.settle()
        seconds, used = await _timed(running, partial(_are_handled, ground, number))
    await _prove_handled(ground, number)
    return {_HANDLED: number / seconds, core_time("event handled"): used / number * 1e6}


async def relays(ground: Ground, number: int, *, crew: int) -> dict[str, float]:
    """Rows of the outbox, all committed at once, until Kafka has acknowledged each and its row is deleted.

    The shards are shared out before. An idle relay looks every 20 ms here instead of 200, so that the clock does not
    hang on the moment of the first look.
    """
    ground.config = tuning.changed(ground.config, "relay.idle_poll_ms", 20)
    async with _processes(ground.config, "relay", crew) as running:
        await until(partial(have_shards, ground, crew))
        await _commit(ground, number)
        seconds, used = await _timed(
            running, partial(_is_outbox_empty, ground), look_every_seconds=_LOOK_AT_OUTBOX_EVERY_SECONDS
        )
    if (sent := await ground.sent()) != number:
        raise WorkNotDone(f"{sent} of {number} messages are on the topic")
    return {_SENT: number / seconds, core_time("event sent"): used / number * 1e6}


async def pool(ground: Ground, number: int, *, most: int) -> dict[str, float]:
    """Changes of users over 32 connections, by an api process with so many connections to PostgreSQL at most."""
    del number
    ground.config = tuning.changed(ground.config, "database.pool_max", most)
    async with opened(ground, 0) as door:
        known = await ground.count("event_log")
        found, each = await _under(ground, door, "patch", 32)
    if (kept := await ground.count("event_log") - known) < found.requests:
        raise WorkNotDone(f"{found.requests} changes were answered, and {kept} have left their event")
    return {_CHANGED: found.per_second, _P99: found.p99_ms, core_time(_ROUTES["patch"]): each}


async def api(ground: Ground, number: int) -> dict[str, float]:
    """What a request of each kind takes of an api process, over 8 connections."""
    del number
    async with opened(ground, 0) as door:
        known = await ground.count("users")
        each = {route: await _under(ground, door, route, 8) for route in _ROUTES}
    new, registered = await ground.count("users") - known, each["register"][0].requests
    if new < registered:
        raise WorkNotDone(f"{registered} registrations were answered, and {new} users are new")
    return {core_time(_ROUTES[route]): spent for route, (_, spent) in each.items()}


def core_time(what: str) -> str:
    """The name of the figure that says how long one core is busy for this."""
    return f"core time: {what}"


def _contenders() -> dict[str, Run]:
    found: dict[str, Run] = {
        f"{_several(crew, 'worker')}, {_several(partitions, 'partition')}": partial(
            workers, crew=crew, partitions=partitions
        )
        for crew in _WORKERS
        for partitions in _PARTITIONS
    }
    found |= {_several(crew, "relay"): partial(relays, crew=crew) for crew in _RELAYS}
    found |= {f"pool of {most}": partial(pool, most=most) for most in _POOLS}
    return found | {"api, 8 connections": api}


def _several(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


MEASURE: Final = Measure(
    name="crews",
    work="workers against partitions, relays, pools of connections, and the time of a core for each event and request",
    events=20_000,
    contenders=_contenders(),
    figures=(
        Figure(name=_HANDLED, unit="events/s"),
        Figure(name=_SENT, unit="events/s"),
        Figure(name=_CHANGED, unit="requests/s"),
        Figure(name=_P99, unit="ms", is_more_better=False),
        *(
            Figure(name=core_time(what), unit="µs", is_more_better=False)
            for what in ("event handled", "event sent", *_ROUTES.values())
        ),
    ),
    are_rivals=False,
    rounds=1,  # of fourteen contenders, each with processes of its own: five minutes
    warm_up_share=0,  # each starts processes of its own; requests have their own
)


@asynccontextmanager
async def _processes(config: Config, roles: str, number: int) -> AsyncIterator[list[Running]]:
    """So many of them, all ready."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(product(config, roles=roles)) for _ in range(number)]


async def _commit(ground: Ground, number: int) -> None:
    """Events of a quarter as many users into the outbox, for all to be seen at the same moment."""
    events = traffic.events(number)
    async with ground.database.transaction() as tx:
        for start in range(0, number, _AT_ONCE):
            await outbox.add(tx, *events[start : start + _AT_ONCE])
        await ground.settle()


async def _timed(
    running: list[Running],
    is_done: Callable[[], Awaitable[bool]],
    *,
    look_every_seconds: float = _LOOK_EVERY_SECONDS,
) -> tuple[float, float]:
    """The seconds from now until it is done, and the CPU seconds of these processes in them."""
    began, used = time.perf_counter(), sum(each.cpu_seconds for each in running)
    await until(is_done, look_every_seconds)
    return time.perf_counter() - began, sum(each.cpu_seconds for each in running) - used


async def _under(ground: Ground, door: Door, route: str, connections: int) -> tuple[Load, float]:
    """What wrk counted, and how many microseconds of CPU the process needed for each request."""
    await door.load(route, connections, seconds=1)
    await ground.settle()
    used = cpu_seconds(door.pid)
    found = await door.load(route, connections, seconds=_SECONDS)
    return found, (cpu_seconds(door.pid) - used) / found.requests * 1e6


async def _is_outbox_empty(ground: Ground) -> bool:
    async with ground.database.transaction() as tx:
        return await tx.fetch_one("select 1 from outbox order by position limit 1") is None


async def _are_handled(ground: Ground, number: int) -> bool:
    return await ground.count("inbox") >= number * len(groups_of(ground.config))


async def _prove_handled(ground: Ground, number: int) -> None:
    users = number // traffic.EVENTS_OF_A_USER
    wanted = {
        "inbox": number * len(groups_of(ground.config)),
        "user_settings": users,
        "last_logins": users,
        "login_log": number - users,
        "outbox": number + users,  # a fact of each event, and a welcome by mail
    }
    found = {table: await ground.count(table) for table in wanted}
    if found != wanted:
        raise WorkNotDone(f"{found} rows are there instead of {wanted}")
