"""What the C library keeps of memory that is free again: little, in a process that runs for weeks.

glibc gives each of up to eight threads for each core a heap of its own, and keeps in it what was free once; the Kafka
client has a dozen threads. And it learns from the first large block that is freed to take such blocks from the heap,
where they stay: a batch's lists, the buffers of a connection. Other C libraries have no such settings.
"""

import ctypes
import os
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
_LARGE_BYTES: Final = 131_072
_ARENAS: Final = 2


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
