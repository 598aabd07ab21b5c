"""Start and memory: the processes as `usercenter run` starts them, on stores that are there.

Memory is the resident set of the process when it is ready and after its work: events that lay in the outbox and came
through relay, groups and tasks, or requests for the role `api`. What a role needs beside it is a process of its own.
"""

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Final

import httpx

from bench import traffic
from bench.accounts import open_accounts, tokens_of, written
from bench.ground import Ground
from bench.load import load
from bench.measure import Figure, Goal, Measure, WorkNotDone
from bench.process import Running, product
from usercenter.messaging import outbox

_ALL: Final = "api,relay,worker"
_VERSION: Final = "seconds of `usercenter --version`"
_READY: Final = "seconds until ready"
_IDLE: Final = "MB when ready"
_AFTER_FIRST: Final = "MB after the first tenth"
_AFTER: Final = "MB after all events"
_GROWTH: Final = "MB more from the first tenth on"
_ROLES: Final = ("all roles", "api", "relay", "worker")
_AT_ONCE: Final = 1_000
_COMMANDS: Final = 5
_LOOK_EVERY_SECONDS: Final = 0.5  # to write its metrics out takes a process some 20 ms
_HANDLED: Final = re.compile(r'^usercenter_handled_total\{handler="publish_facts",outcome="done"\} (\S+)', re.MULTILINE)
_REQUESTS_SECONDS: Final = 5


async def all_roles(ground: Ground, number: int) -> dict[str, float]:
    """One process that does everything."""
    async with _process(ground, _ALL) as process:
        return await _with_events(ground, process, process, number)


async def worker(ground: Ground, number: int) -> dict[str, float]:
    """A worker, fed by a relay."""
    async with _process(ground, "worker") as process, _process(ground, "relay"):
        return await _with_events(ground, process, process, number)


async def relay(ground: Ground, number: int) -> dict[str, float]:
    """A relay; a worker keeps the outbox moving as it does in a company, with mails that are asked for."""
    async with _process(ground, "relay") as process, _process(ground, "worker") as other:
        return await _with_events(ground, process, other, number)


async def api(ground: Ground, number: int) -> dict[str, float]:
    """The front door, under requests instead of events."""
    del number
    names = await open_accounts(ground, 20)
    async with _process(ground, "api") as process:
        found = _at_start(process)
        tokens = await tokens_of(process.url, names)
        with tempfile.TemporaryDirectory() as folder:
            lines = written(tokens, Path(folder, "tokens"))
            url = f"{process.url}/api/v1/users/me"
            await load(url, "get", lines=lines, connections=8, seconds=1)
            found[_AFTER_FIRST] = process.memory_mb
            await load(url, "get", lines=lines, connections=8, seconds=_REQUESTS_SECONDS)
        return _at_end(found, process)


async def command(ground: Ground, number: int) -> dict[str, float]:
    """The command that says its version, from the shell's side; the median of a few."""
    del ground, number
    script = Path(sys.executable).with_name("usercenter")
    line = [str(script)] if script.exists() else [sys.executable, "-m", "usercenter"]
    return {_VERSION: median([await _seconds([*line, "--version"]) for _ in range(_COMMANDS)])}


def _goals() -> list[Goal]:
    memory = [
        Goal(words=f"each process ≤ 150 MB: {role}", figure=_AFTER, contender=role, at_most=150) for role in _ROLES
    ]
    flat = [
        Goal(words=f"flat (at most 5 MB more after its first tenth): {role}", figure=_GROWTH, contender=role, at_most=5)
        for role in _ROLES
    ]
    return [
        *memory,
        *flat,
        Goal(words="`usercenter --version` ≤ 0.2 s", figure=_VERSION, contender="the command", at_most=0.2),
        Goal(words="service ready ≤ 1.5 s after its stores are", figure=_READY, at_most=1.5),
    ]


MEASURE: Final = Measure(
    name="start",
    work="each role as a process of its own: until it is ready, and its memory before and after 50,000 events",
    events=50_000,
    contenders={"all roles": all_roles, "api": api, "relay": relay, "worker": worker, "the command": command},
    figures=[
        Figure(name=_READY, unit="s", is_more_better=False),
        Figure(name=_VERSION, unit="s", is_more_better=False),
        *(Figure(name=name, unit="MB", is_more_better=False) for name in (_IDLE, _AFTER_FIRST, _AFTER, _GROWTH)),
    ],
    goals=_goals(),
    are_rivals=False,
    warm_up_share=0,  # a start is a start
)


@asynccontextmanager
async def _process(ground: Ground, roles: str) -> AsyncIterator[Running]:
    async with product(ground.config, roles=roles) as process:
        yield process


def _at_start(process: Running) -> dict[str, float]:
    return {_READY: process.ready_seconds, _IDLE: process.memory_mb}


def _at_end(found: dict[str, float], process: Running) -> dict[str, float]:
    after = process.memory_mb
    return {**found, _AFTER: after, _GROWTH: after - found[_AFTER_FIRST]}


async def _with_events(ground: Ground, process: Running, worker: Running, number: int) -> dict[str, float]:
    """The memory of a process before and after events, whose effects the worker counts."""
    found = _at_start(process)
    await through(ground, worker, number // 10, before=0)
    found[_AFTER_FIRST] = process.memory_mb
    await through(ground, worker, number - number // 10, before=number // 10)
    return _at_end(found, process)


async def through(ground: Ground, worker: Running, number: int, *, before: int) -> None:
    """Put so many events into the outbox, and wait until the worker has dealt with all of them."""
    events = traffic.events(number)
    for start in range(0, number, _AT_ONCE):
        async with ground.database.transaction() as tx:
            await outbox.add(tx, *events[start : start + _AT_ONCE])
    async with httpx.AsyncClient(base_url=worker.url, timeout=30) as client:
        while (await _handled(client)) < before + len(events):  # noqa: ASYNC110  # it has to be asked
            await asyncio.sleep(_LOOK_EVERY_SECONDS)


async def _handled(client: httpx.AsyncClient) -> int:
    text = (await client.get("/metrics")).text
    found = _HANDLED.search(text)
    return int(float(found[1])) if found else 0


async def _seconds(line: list[str]) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*line, stdout=asyncio.subprocess.DEVNULL)
    if await process.wait():
        raise WorkNotDone(f"{' '.join(line)} ended with {process.returncode}")
    return time.perf_counter() - began
