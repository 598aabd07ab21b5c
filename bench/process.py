"""Processes beside the one that measures: the product's own, as `usercenter run` starts it, and contenders."""

import asyncio
import os
import re
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import httpx
import msgspec
import psutil
from msgspec.structs import replace

from bench.measure import WorkNotDone
from usercenter.config.model import Config

_PATIENCE_SECONDS: Final = 30
_LOOK_EVERY_SECONDS: Final = 0.005
_URL: Final = re.compile(rb"https?://\S+")


class Running:
    """A process that answers HTTP; `ready_seconds` is how long it took from its start until it was ready."""

    def __init__(self, process: Process, url: str, ready_seconds: float) -> None:
        self.process = process
        self.url = url
        self.ready_seconds = ready_seconds

    @property
    def memory_mb(self) -> float:
        """What it has in memory (RSS), in MB of a million bytes."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6

    @property
    def cpu_seconds(self) -> float:
        """How long it has kept a core busy since its start."""
        return cpu_seconds(self.process.pid)


def cpu_seconds(pid: int) -> float:
    """How long all threads of a process have kept a core busy, in its own code and in the kernel's."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


@asynccontextmanager
async def product(config: Config, *, roles: str) -> AsyncIterator[Running]:
    """`usercenter run` with these roles on a free port, ready; stopped by SIGTERM at the end of the block."""
    config = replace(config, server=replace(config.server, port=0, monitoring_port=0))
    with tempfile.NamedTemporaryFile("wb", suffix=".yaml") as file:
        file.write(msgspec.yaml.encode(config))
        file.flush()
        command = ["-m", "usercenter", "run", "--roles", roles, "--config", file.name]
        async with started(command, ready="/ready") as process:
            yield process


@asynccontextmanager
async def started(arguments: Sequence[str], *, ready: str) -> AsyncIterator[Running]:
    """`python …`, which says its address on stderr; given once this path of it answers 200."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, env=_environment()
    )
    listening = None
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            url = await _address_in(process)
            listening = asyncio.create_task(_read_on(process))
            await _until_ready(url + ready)
        yield Running(process, url, time.perf_counter() - began)
    finally:
        await _end(process)
        if listening is not None:
            await listening


def _environment() -> dict[str, str]:
    """Ours, without the settings of whoever measures: the config file alone counts."""
    return {name: value for name, value in os.environ.items() if not name.startswith("USERCENTER_")}


async def _address_in(process: Process) -> str:
    said = []
    while line := await _stream(process).readline():
        said.append(line.decode(errors="replace"))
        if found := _URL.search(line.partition(b" answers at ")[2]):
            return found[0].decode()
    raise WorkNotDone(f"a process ended before it answered: {''.join(said)[-500:]}")


async def _read_on(process: Process) -> None:
    """What it says later is not kept, and must not fill the pipe."""
    while await _stream(process).read(65_536):
        pass


def _stream(process: Process) -> asyncio.StreamReader:
    assert process.stderr is not None  # noqa: S101  # as it was asked for
    return process.stderr


async def _until_ready(url: str) -> None:
    async with httpx.AsyncClient() as client:
        while (await client.get(url)).status_code != 200:  # noqa: ASYNC110  # it has to be asked
            await asyncio.sleep(_LOOK_EVERY_SECONDS)


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _PATIENCE_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
