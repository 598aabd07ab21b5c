"""Where the time goes: flame graphs of the relay, the consumer and `GET /me` at work, drawn by py-spy.

`python -m bench --flames`. What is drawn is the product alone, doing the work of its measure; the width of a frame is
its share of the samples in which a thread of that process was running.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from os import getpid
from pathlib import Path
from typing import Final

from bench import consume, relay
from bench.ground import Grounds
from bench.http import opened
from bench.measure import WorkNotDone

_EVENTS: Final = 100_000
_CONNECTIONS: Final = 8
_SECONDS: Final = 10
_LONGEST_SECONDS: Final = 120
_SAMPLES_A_SECOND: Final = 200


async def draw(grounds: Grounds, folder: Path, *, tell: Callable[[str], None]) -> None:
    """Draw all three into this folder, which is there. Raises WorkNotDone when py-spy may not look at a process."""
    for name, run in (("relay", relay.by_the_product), ("consume", consume.by_the_product)):
        async with grounds.fresh() as ground, flame(getpid(), picture(folder, name)):
            await run(ground, _EVENTS)
        tell(f"written to {picture(folder, name)}")
    async with grounds.fresh() as ground, opened(ground, 0) as door:
        await door.load("me", _CONNECTIONS, seconds=1)
        async with flame(door.pid, picture(folder, "me")):
            await door.load("me", _CONNECTIONS, seconds=_SECONDS)
    tell(f"written to {picture(folder, 'me')}")


def picture(folder: Path, name: str) -> Path:
    """The file of this one."""
    return folder / f"flame-{name}.svg"


@asynccontextmanager
async def flame(pid: int, path: Path) -> AsyncIterator[None]:
    """Sample a process as long as the block runs. It takes root, or `kernel.yama.ptrace_scope=0`."""
    options = ("--output", str(path), "--rate", str(_SAMPLES_A_SECOND), "--duration", str(_LONGEST_SECONDS))
    spy = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), *options, "--gil"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield
    finally:
        if spy.returncode is None:
            spy.send_signal(signal.SIGINT)  # it writes what it has
        _, said = await spy.communicate()
    if spy.returncode:
        raise WorkNotDone(f"py-spy has drawn nothing: {said.decode(errors='replace')[-500:]}")
