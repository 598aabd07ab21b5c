"""The processes of a service under fault: started by role, killed, started again."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from harness import Process, World

from usercenter.config.model import Config


class Crew:
    """Named processes of one world. The name of each begins with its roles: `relay`, `relay.2`, `api,worker`."""

    def __init__(self, world: World, *, config: Config | None = None) -> None:
        self.world = world
        self.config = config or world.config
        self._processes: dict[str, tuple[Process, AsyncExitStack]] = {}

    @property
    def names(self) -> list[str]:
        """Those that run, as far as is known."""
        return sorted(self._processes)

    def doors(self) -> list[str]:
        """The URLs of those with the role `api`."""
        return [process.url for name, (process, _) in self._processes.items() if "api" in _roles(name)]

    def process(self, name: str) -> Process:
        """The process of this name."""
        return self._processes[name][0]

    async def start(self, *names: str, environment: Mapping[str, str] | None = None) -> None:
        """Start them side by side, and wait until each answers HTTP."""
        async with asyncio.TaskGroup() as group:  # one that fails ends the others, so that none is left running
            for name in names:
                group.create_task(self._start(name, environment))

    async def kill(self, *names: str) -> None:
        """SIGKILL to all of them at one moment."""
        for name in names:
            self.process(name).child.kill()
        await asyncio.gather(*(self.forget(name) for name in names))

    async def stop(self, name: str) -> int:
        """SIGTERM, and the exit status."""
        status = await self.process(name).stop(signal.SIGTERM)
        await self.forget(name)
        return status

    async def forget(self, name: str) -> Process:
        """Let go of one that has ended; kills it if it has not."""
        process, stack = self._processes.pop(name)
        await stack.aclose()
        return process

    async def close(self) -> None:
        """Kill what runs."""
        await asyncio.gather(*(self.forget(name) for name in self.names))

    async def _start(self, name: str, environment: Mapping[str, str] | None) -> None:
        stack = AsyncExitStack()
        started = self.world.process(roles=_roles(name), config=self.config, environment=environment)
        self._processes[name] = (await stack.enter_async_context(started), stack)


@asynccontextmanager
async def crew(world: World, *names: str, config: Config | None = None) -> AsyncIterator[Crew]:
    """These processes, up; whatever runs at the end is killed."""
    found = Crew(world, config=config)
    try:
        await found.start(*names)
        yield found
    finally:
        await found.close()


def _roles(name: str) -> str:
    return name.partition(".")[0]
