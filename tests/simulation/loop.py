"""An event loop in which no time passes: when nothing is ready, its clock jumps to the next timer."""

import asyncio
import contextvars
import selectors
from collections.abc import Coroutine
from typing import Any

OWNER: contextvars.ContextVar[Any] = contextvars.ContextVar("owner", default=None)
"""Which simulated process a task belongs to; tasks inherit it from who creates them."""


class NothingCanHappen(Exception):
    """No task is ready and no timer is set: whoever waits waits for ever."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs tasks in the order of their timers and of their creation; an hour takes as long as its work does."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_NoNetwork(self))
        self.set_task_factory(_owned)

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float | None) -> None:
        """Let so much time have passed."""
        if seconds is None:
            raise NothingCanHappen
        self._now += seconds


class _NoNetwork(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.jump(timeout)
        return []


def _owned(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
    task = asyncio.Task(coroutine, loop=loop, **options)
    if (owner := OWNER.get()) is not None:
        owner.adopt(task)
    return task
