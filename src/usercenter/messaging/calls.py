"""Calling a handler, whatever it may raise."""

import asyncio
from collections.abc import Awaitable, Callable

from usercenter.messaging.deadlines import Deadline, Deadlines


class NeverEnded(Exception):
    """It was begun before and never came to an end: its process was killed, perhaps by this very event."""

    def __init__(self, reason: str, *, times: int = 1) -> None:
        super().__init__(reason)
        self.times = times


class HandlerBroke(Exception):
    """A handler raised what is no failure of its event: a cancellation that nobody asked for, an exit, a panic."""


async def call(
    handler: Callable[..., Awaitable[None]],
    *arguments: object,
    timeout_seconds: float | None = None,
    deadlines: Deadlines | None = None,
) -> None:
    """Call it and wait; all that it raises comes out as an Exception, which concerns this call alone.

    Only a cancellation of the caller, and Ctrl-C, pass through as they are. Raises TimeoutError after so many seconds,
    which costs less with `deadlines`, where many calls share a timer.
    """
    caller = asyncio.current_task()
    before = caller.cancelling() if caller else 0
    limit: Deadline | asyncio.Timeout
    if deadlines is None or timeout_seconds is None:
        limit = asyncio.timeout(timeout_seconds)
    else:
        limit = deadlines.within(timeout_seconds)
    try:
        async with limit:
            await handler(*arguments)
    except (Exception, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if caller and caller.cancelling() > before:
            raise
        raise HandlerBroke(f"the handler raised {type(error).__name__}, which is no Exception") from error
