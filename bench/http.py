"""The front door: register, log in, `GET /me` and the admins' list, on the product's own process with the role `api`.

wrk sends, over 1, 8 and 32 connections. Bare hashing is argon2id with the product's parameters in as many threads as
connections, at most one for each core: no HTTP, no database. The one-route application has the same framework and
server, and neither asks who sends nor reads anything. All share the machine with wrk and, where it is used, PostgreSQL.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import argon2

from bench.accounts import PASSWORD, open_accounts, tokens_of, written
from bench.ground import Ground
from bench.load import Kind, Load, load, require_wrk
from bench.measure import Figure, Goal, Measure, WorkNotDone
from bench.process import product, started

CONNECTIONS: Final = (1, 8, 32)
ROUTES: Final = ("register", "login", "me", "list")
_USERS_WITH_TOKENS: Final = 50
_SECONDS: Final = 2
_WARM_UP_SECONDS: Final = 1
_ME: Final = "/api/v1/users/me"
_WHILE_HASHING: Final = "p99 of me at 8 while all cores hash"


class Door(NamedTuple):
    """The running service, and what its users know."""

    url: str
    files: dict[str, Path]
    pid: int

    async def load(self, route: str, connections: int, *, seconds: float = _SECONDS) -> Load:
        """Requests to one route for so long, all of them answered as they should be."""
        kind, path = _REQUESTS[route]
        return await load(self.url + path, kind, lines=self.files[route], connections=connections, seconds=seconds)


_REQUESTS: Final[dict[str, tuple[Kind, str]]] = {
    "register": ("register", "/api/v1/users/register"),
    "login": ("login", "/api/v1/users/login"),
    "me": ("get", _ME),
    "patch": ("patch", _ME),
    "list": ("get", "/api/v1/admin/users"),
}


@asynccontextmanager
async def opened(ground: Ground, users: int) -> AsyncIterator[Door]:
    """The product's process with so many users, some of whom are logged in."""
    require_wrk()
    names = await open_accounts(ground, max(users, _USERS_WITH_TOKENS))
    async with product(ground.config, roles="api") as process:
        tokens = await tokens_of(process.url, names[:_USERS_WITH_TOKENS])
        with tempfile.TemporaryDirectory() as folder:
            lines = {
                "register": [PASSWORD],
                "login": [f"{name} {PASSWORD}" for name in names[1:]],
                "me": tokens[1:],
                "patch": tokens[1:],
                "list": tokens[:1],
            }
            files = {route: written(each, Path(folder, route)) for route, each in lines.items()}
            yield Door(process.url, files, process.process.pid)


async def by_the_product(ground: Ground, number: int) -> dict[str, float]:
    """Every route at every number of connections, then `GET /me` while logins keep all cores hashing."""
    found: dict[str, float] = {}
    registered = 0
    async with opened(ground, number) as door:
        await ground.settle()
        for route in ROUTES:
            await door.load(route, 8, seconds=_WARM_UP_SECONDS)
            for connections in CONNECTIONS:
                result = await door.load(route, connections)
                found[f"{route} at {connections}"] = result.per_second
                found[f"p99 of {route} at {connections}"] = result.p99_ms
                registered += result.requests if route == "register" else 0
        found[_WHILE_HASHING] = await _me_while_hashing(door)
    if (users := await ground.count("users")) < number + registered:
        raise WorkNotDone(f"{registered} of {number} and more were registered, and {users} users are there")
    return found


async def by_bare_hashing(ground: Ground, number: int) -> dict[str, float]:
    """Hashing (a registration) and comparing (a login) alone."""
    del ground, number
    hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
    known = hasher.hash(PASSWORD)
    found = {}
    for connections in CONNECTIONS:
        found[f"register at {connections}"] = await _rate(lambda: hasher.hash(PASSWORD), connections)
        found[f"login at {connections}"] = await _rate(lambda: hasher.verify(known, PASSWORD), connections)
    return found


async def by_one_route(ground: Ground, number: int) -> dict[str, float]:
    """One route of the same framework."""
    del ground, number
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        lines = written(["a-token-that-nobody-reads"], Path(folder, "tokens"))
        async with started(["-m", "bench.one_route"], ready="/") as process:
            await load(process.url, "get", lines=lines, connections=8, seconds=_WARM_UP_SECONDS)
            for connections in CONNECTIONS:
                result = await load(process.url, "get", lines=lines, connections=connections, seconds=_SECONDS)
                found[f"me at {connections}"] = result.per_second
                found[f"p99 of me at {connections}"] = result.p99_ms
    return found


def _figures() -> list[Figure]:
    pairs = [(route, connections) for route in ROUTES for connections in CONNECTIONS]
    rates = [Figure(name=f"{route} at {connections}", unit="requests/s") for route, connections in pairs]
    times = [
        Figure(name=f"p99 of {route} at {connections}", unit="ms", is_more_better=False) for route, connections in pairs
    ]
    return [*rates, *times, Figure(name=_WHILE_HASHING, unit="ms", is_more_better=False)]


def _goals() -> list[Goal]:
    hashing = [
        Goal(
            words=f"{route} ≥ 0.9 of bare hashing at {connections} connections",
            figure=f"{route} at {connections}",
            against="bare hashing",
            at_least=0.9,
        )
        for route in ("register", "login")
        for connections in CONNECTIONS
    ]
    return [
        *hashing,
        Goal(words="/me ≥ 8 k/s at 8 connections", figure="me at 8", at_least=8_000),
        Goal(words="/me ≥ 0.5 of the one-route app", figure="me at 8", against="one-route app", at_least=0.5),
        Goal(words="/me p99 stays under 50 ms while all cores hash", figure=_WHILE_HASHING, at_most=50),
    ]


MEASURE: Final = Measure(
    name="http",
    work=f"requests by wrk over 1, 8 and 32 connections, {_SECONDS} s each; 2,000 users before",
    events=2_000,
    contenders={"usercenter": by_the_product, "bare hashing": by_bare_hashing, "one-route app": by_one_route},
    figures=_figures(),
    goals=_goals(),
    warm_up_share=0,  # each route has its own
)


async def _me_while_hashing(door: Door) -> float:
    """Logins over 32 connections from before the first look until after the last one."""
    hashing = asyncio.create_task(door.load("login", 32, seconds=_SECONDS + 2))
    await asyncio.sleep(1)
    found = await door.load("me", 8)
    if hashing.done():
        raise WorkNotDone("the hashing ended before GET /me was measured")
    await hashing
    return found.p99_ms


async def _rate(work: Callable[[], object], connections: int) -> float:
    """How often each second the work is done, in as many threads as connections, at most one for each core."""
    threads = min(connections, len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        counts = await asyncio.gather(
            *(asyncio.get_running_loop().run_in_executor(pool, _repeat, work, began + _SECONDS) for _ in range(threads))
        )
        return sum(counts) / (time.perf_counter() - began)


def _repeat(work: Callable[[], object], until: float) -> int:
    done = 0
    while time.perf_counter() < until:
        work()
        done += 1
    return done
