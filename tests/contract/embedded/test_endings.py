"""However the process that started the servers ends, no server stays behind."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from usercenter.embedded import data_dir, endpoints

ELSEWHERE = ("elsewhere.example:9092", "postgresql://elsewhere.example/db")


@asynccontextmanager
async def started(program: Path, *arguments: str) -> AsyncIterator[tuple[Process, list[int]]]:
    """Start it in a process group of its own, as a shell does; gives it and the pids of its servers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), *arguments, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        yield process, await pids_of_servers(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def pids_of_servers(process: Process) -> list[int]:
    """Wait until the program says that they are up."""
    assert process.stdout
    line = b""
    while not line.startswith(b"pids"):
        line = await process.stdout.readline()
        assert line, "it ended before its servers were up"
    pids = [int(pid) for pid in line.split()[1:]]
    assert all(psutil.pid_exists(pid) for pid in pids)
    return pids


def is_alive(pid: int) -> bool:
    """Whether it still does anything: an orphan that the system has not cleared away yet does not."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def end(process: Process, number: signal.Signals, folder: Path) -> None:
    """Signal the whole group, as a terminal does, and wait until the last server has let go of the directory."""
    os.killpg(process.pid, number)
    await process.communicate()
    async with data_dir.claimed(folder):
        pass


async def test_a_killed_parent_leaves_no_server_behind_and_its_data_can_be_used_at_once(
    program: Path, tmp_path: Path
) -> None:
    async with started(program, str(tmp_path / "data")) as (process, pids):
        guards = [psutil.Process(pid).ppid() for pid in pids]
        await end(process, signal.SIGKILL, tmp_path / "data")
    assert len(pids) == 3
    assert not [pid for pid in (*pids, *guards) if is_alive(pid)]
    assert endpoints.read(tmp_path / "data") is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_parent_that_is_asked_to_stop_takes_its_servers_with_it(
    program: Path, tmp_path: Path, number: signal.Signals
) -> None:
    async with started(program, str(tmp_path / "data"), ELSEWHERE[0]) as (process, pids):
        await end(process, number, tmp_path / "data")
    assert len(pids) == 2
    assert not [pid for pid in pids if is_alive(pid)]


async def test_a_frozen_server_is_ended_too(program: Path, tmp_path: Path) -> None:
    async with started(program, str(tmp_path / "data"), *ELSEWHERE) as (process, pids):
        os.kill(pids[0], signal.SIGSTOP)
        await end(process, signal.SIGKILL, tmp_path / "data")
    assert not is_alive(pids[0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a child that its parent died")
async def test_a_killed_guard_takes_its_server_with_it(program: Path, tmp_path: Path) -> None:
    async with started(program, str(tmp_path / "data"), *ELSEWHERE) as (_, pids):
        server = psutil.Process(pids[0])
        os.kill(server.ppid(), signal.SIGKILL)
        await asyncio.to_thread(server.wait, 5)
    assert not server.is_running()
