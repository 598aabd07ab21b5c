"""Loops that run for the life of a process, and what happens when one of them fails."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

log = structlog.get_logger()

_RESTART_SECONDS: Final = 1.0

Work = Callable[[], Awaitable[Any]]


class Loops:
    """Background work by name."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._problems: dict[str, str] = {}

    def keep(self, name: str, work: Work) -> None:
        """Run this until it returns or is cancelled. When it raises it is begun again, loudly, a second later.

        A failure must not take the process's other work along; while it lasts, `problems` tells of it.
        """
        self._tasks[name] = asyncio.create_task(self._supervised(name, work), name=name)

    def problems(self) -> list[str]:
        """The failures that have not been overcome."""
        return list(self._problems.values())

    async def cancel(self, name: str) -> None:
        """End one loop and wait for its end. Does nothing when there is none of that name."""
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """End all of them. May be called twice."""
        for name in list(self._tasks):
            await self.cancel(name)

    async def _supervised(self, name: str, work: Work) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # said in the log and by /ready; the loop goes on
                self._problems[name] = f"{name} failed: {error.__class__.__name__}"
                log.error("service.loop_failed", loop=name, exc_info=error)
                await asyncio.sleep(_RESTART_SECONDS)
                self._problems.pop(name, None)
            else:
                self._problems.pop(name, None)
                return
