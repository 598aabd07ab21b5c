"""The shell of an operator: `usercenter …` as a process of its own, which may be killed on its way."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec
from harness import PATIENCE_SECONDS

from usercenter.config.model import Config


class Command:
    """A command that was begun."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self._saying = asyncio.create_task(child.communicate())

    async def kill(self) -> None:
        """SIGKILL, on its way: fails when it had ended by itself."""
        assert self._child.returncode is None, f"it was over already: {await self.ended()}"
        self._child.kill()
        await self._saying

    async def ended(self, *, timeout_seconds: float = PATIENCE_SECONDS) -> tuple[int, str]:
        """Wait for its end; the exit status, and what it said on stdout and stderr."""
        said, _ = await asyncio.wait_for(asyncio.shield(self._saying), timeout_seconds)
        return self._child.returncode or 0, said.decode()


@asynccontextmanager
async def command(config: Config, *arguments: str, environment: Mapping[str, str]) -> AsyncIterator[Command]:
    """Begin `usercenter …`; whatever still runs at the end of the block is killed."""
    with tempfile.NamedTemporaryFile("wb", suffix=".yaml") as file:
        file.write(msgspec.yaml.encode(config))
        file.flush()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "usercenter", *arguments,
            env={**os.environ, **environment, "USERCENTER_CONFIG": file.name},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        begun = Command(child)
        try:
            yield begun
        finally:
            if child.returncode is None:
                child.kill()
            await begun.ended()
