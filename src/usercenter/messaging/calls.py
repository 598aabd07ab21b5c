"""Calling a handler, whatever it may raise, and cutting it short, whatever it does then."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

import structlog

from usercenter.messaging.deadlines import Deadline, Deadlines

log = structlog.get_logger()

_UNWIND_SECONDS: Final = 2.0  # for a cancelled handler to come to its end


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


async def cut_short(attempts: Collection[asyncio.Task[Any]]) -> None:
    """Cancel them, and wait until they have ended; not for long: one that ignores it is left behind, and told of.

    The attempts bear the names of their handlers.
    """
    cancelled = [each for each in attempts if each.cancel()]
    if not cancelled:
        return
    _, stuck = await asyncio.wait(cancelled, timeout=_UNWIND_SECONDS)
    for each in stuck:
        log.error("tasks.handler_left_behind", handler=each.get_name(), next="it ignores its cancellation: mend it")
