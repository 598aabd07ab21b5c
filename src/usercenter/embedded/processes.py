"""A server's process under its guard, as this process sees it."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import NamedTuple, Self

GUARD = Path(__file__).with_name("guard.py")
GRACE_SECONDS = 15
GUARD_SECONDS = GRACE_SECONDS + 5


class Owner(NamedTuple):
    """Who a server runs as; -1 is whoever we are."""

    uid: int = -1
    gid: int = -1


class GuardedProcess:
    """One started server. It ends at the latest with this process, because its guard reads a pipe that only we hold.

    A child made by a bare `os.fork` holds the pipe too, and so keeps the server alive: start children by exec.
    """

    def __init__(self, guard: Process, pid: int) -> None:
        self._guard = guard
        self.pid = pid

    @classmethod
    async def start(
        cls,
        command: list[str],
        *,
        log: Path,
        directory: Path,
        stop_signal: signal.Signals = signal.SIGTERM,
        owner: Owner = Owner(),  # noqa: B008 - an immutable tuple
        kept_open: tuple[int, ...] = (),
    ) -> Self:
        """Start the command in `directory` with stdout and stderr appended to `log`.

        `kept_open` are descriptors that stay open until the server has ended (the data directory's lock).
        """
        options = [str(int(stop_signal)), str(GRACE_SECONDS), str(owner.uid), str(owner.gid)]
        with log.open("ab") as output:
            guard = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", str(GUARD), *options, "--", *command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                cwd=directory,
                start_new_session=True,
                pass_fds=kept_open,
            )
        try:
            return cls(guard, await _read_pid(guard))
        except BaseException:
            _close(guard)
            raise

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._guard.returncode

    async def wait(self) -> int:
        """Wait for the end of the server; answers its exit code."""
        return await self._guard.wait()

    async def stop(self) -> None:
        """Ask the server to stop, and wait for it: SIGKILL after GRACE_SECONDS. May be called twice."""
        _close(self._guard)
        try:
            async with asyncio.timeout(GUARD_SECONDS):
                await self._guard.wait()
        except TimeoutError:
            self._guard.kill()
            await self._guard.wait()

    async def kill(self) -> None:
        """SIGKILL, and wait for it. Nothing is said to the server before."""
        if self._guard.stdin is not None and self.exit_code is None:
            self._guard.stdin.write(b"k")
            await self._guard.wait()
        _close(self._guard)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, and nothing is answered any more."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on as if nothing had been."""
        os.killpg(self.pid, signal.SIGCONT)


async def _read_pid(guard: Process) -> int:
    """The server's pid from the guard; 0 where the command could not be executed (its log says why)."""
    if guard.stdout is None:
        return 0
    return int(await guard.stdout.readline() or b"0")


def _close(guard: Process) -> None:
    if guard.stdin is not None:
        guard.stdin.close()
