"""What the C library keeps of memory that is free again: little, in a process that runs for weeks.

glibc gives each of up to eight threads for each core a heap of its own, and keeps in it what was free once; the Kafka
client has a dozen threads. And it learns from the first large block that is freed to take such blocks from the heap,
where they stay: a batch's lists, the buffers of a connection. What is free between others it gives back
only when it is told to. Other C libraries have no such settings.
"""

import asyncio
import ctypes
import os
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
_LARGE_BYTES: Final = 131_072
_ARENAS: Final = 2
_GIVE_BACK_EVERY_SECONDS: Final = 5.0


def keep_little(*, is_hashing: bool) -> bool:
    """Have free memory given back; says whether the C library knows how. To be called before any thread begins.

    A process that hashes passwords keeps what that takes: new pages would make each hash half as long again. Does
    nothing where the environment has a setting (`MALLOC_…`) of its own.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    wanted = {_ARENA_MAX: _ARENAS}
    if not is_hashing:
        wanted |= {_MMAP_THRESHOLD: _LARGE_BYTES, _TRIM_THRESHOLD: _LARGE_BYTES}
    return all(mallopt(name, value) for name, value in wanted.items())


def give_back() -> None:
    """Give back every page that is free. Takes a few milliseconds, in which other threads may wait for memory."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


async def keep_giving_back() -> None:
    """Do that now and then, until cancelled: what one burst of work needed is not kept until the next one."""
    while True:
        await asyncio.sleep(_GIVE_BACK_EVERY_SECONDS)
        await asyncio.to_thread(give_back)
