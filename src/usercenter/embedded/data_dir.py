"""The data directory: one instance at a time, and only data that the installed parts can read."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from usercenter.embedded import endpoints
from usercenter.embedded.errors import AlreadyRunning, OtherVersion

LOCK_FILE = "lock"
VERSION_FILE = "version.json"
STOPPING_SECONDS = 20
"""How long we wait for servers whose process was killed; their guards hold the lock until they have stopped."""
POLL_SECONDS = 0.05


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What the data on disk depends on."""

    layout: int = 1
    postgres: str = "18"
    kafka: str = "4.3"

    def __str__(self) -> str:
        return f"PostgreSQL {self.postgres} and Apache Kafka {self.kafka} (layout {self.layout})"


@asynccontextmanager
async def claimed(data_dir: Path) -> AsyncIterator[int]:
    """Hold the directory, made if it is missing, for this process alone; gives the lock's descriptor.

    Whoever inherits the descriptor holds the directory too. Waits for servers of a killed process to stop.
    Raises AlreadyRunning and OtherVersion.
    """
    lock = _open_lock(data_dir)
    try:
        await _take(lock, data_dir)
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        _check_versions(data_dir)
        yield lock
    finally:
        os.close(lock)


def _open_lock(data_dir: Path) -> int:
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)


async def _take(lock: int, data_dir: Path) -> None:
    """Lock it. A living holder is refused at once, the servers of a dead one are waited for."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STOPPING_SECONDS
    while not _is_taken_by_us(lock):
        holder = int(os.pread(lock, 20, 0) or b"0")
        if endpoints.is_alive(holder):
            raise AlreadyRunning(data_dir, holder)
        if loop.time() > deadline:
            raise AlreadyRunning(data_dir, 0)
        await asyncio.sleep(POLL_SECONDS)


def _is_taken_by_us(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_versions(data_dir: Path) -> None:
    """Raises OtherVersion where the data is of other versions; signs a new directory."""
    path = data_dir / VERSION_FILE
    if not path.exists():
        path.write_bytes(msgspec.json.encode(Versions()))
        return
    try:
        found = str(msgspec.json.decode(path.read_bytes(), type=Versions))
    except msgspec.DecodeError:
        found = "something else"
    if found != str(Versions()):
        raise OtherVersion(data_dir, found=found, wanted=str(Versions()))
