"""The HTTP load, by wrk: one thread of it and so many kept connections, each sending its next request at once."""

import asyncio
import shutil
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Final, Literal

import msgspec

from bench.measure import WorkNotDone

Kind = Literal["register", "login", "get", "patch"]
_SCRIPT: Final = Path(__file__).with_name("load.lua")
_MISSING: Final = (
    "wrk is not installed, and it makes the HTTP load: on Debian or Ubuntu `apt-get install wrk`, on Fedora "
    "`dnf install wrk`, on macOS `brew install wrk`"
)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What wrk counted; times are in microseconds."""

    requests: int
    microseconds: int
    bad: int
    p50: int
    p99: int

    @property
    def per_second(self) -> float:
        """Requests that were answered, each second."""
        return self.requests * 1e6 / self.microseconds

    @property
    def p99_ms(self) -> float:
        """What 99 of 100 requests were answered within."""
        return self.p99 / 1e3


def require_wrk() -> str:
    """Where wrk is. Raises WorkNotDone, which says how to install it."""
    if found := shutil.which("wrk"):
        return found
    raise WorkNotDone(_MISSING)


async def load(url: str, kind: Kind, *, lines: Path, connections: int, seconds: float, may_fail: bool = False) -> Load:
    """Send requests of this kind for so long; each takes the next of the `lines` (tokens, or names).

    Raises WorkNotDone when an answer was no success.
    """
    arguments = ["-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "-s", str(_SCRIPT), url]
    process = await asyncio.create_subprocess_exec(
        require_wrk(), *arguments, "--", kind, str(lines), stdout=PIPE, stderr=PIPE
    )
    out, complaint = await process.communicate()
    if process.returncode:
        raise WorkNotDone(f"wrk ended with {process.returncode}: {complaint.decode()[-500:]}")
    found = msgspec.json.decode(out.splitlines()[-1], type=Load)
    if found.bad and not may_fail:
        raise WorkNotDone(f"{found.bad} of {found.requests} requests to {url} were not answered as they should")
    return found
