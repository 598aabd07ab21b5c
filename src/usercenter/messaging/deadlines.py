"""Time limits of many calls side by side, with one timer for all of them: hardly any call is ever cut off.

`asyncio.timeout` has a timer for each; here a limit costs two entries in a dict. What it does is the same.
"""

import asyncio
from typing import Self


class Deadlines:
    """Of the calls of one event loop."""

    def __init__(self) -> None:
        self._open: dict[Deadline, None] = {}
        self._timer: asyncio.Handle | None = None
        self._looks_at = 0.0

    def within(self, seconds: float) -> "Deadline":
        """A context in which the task that enters it is cut off after so long; it raises TimeoutError then."""
        return Deadline(self, seconds)

    def begin(self, deadline: "Deadline") -> None:
        """It counts from now on."""
        self._open[deadline] = None
        if self._timer is None or deadline.moment < self._looks_at:
            self._look_at(deadline.moment)

    def end(self, deadline: "Deadline") -> None:
        """It counts no more."""
        del self._open[deadline]

    def _look_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = moment
        self._timer = asyncio.get_running_loop().call_at(moment, self._cut)

    def _cut(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for deadline in self._open:
            if deadline.moment <= now:
                deadline.cut()
        left = [deadline.moment for deadline in self._open if not deadline.is_over]
        if left:
            self._look_at(min(left))


class Deadline:
    """One limit; entered once."""

    __slots__ = ("_before", "_deadlines", "_seconds", "_task", "is_over", "moment")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._deadlines = deadlines
        self._seconds = seconds
        self.is_over = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit is for a task")
        self._task, self._before = task, task.cancelling()
        self.moment = asyncio.get_running_loop().time() + self._seconds
        self._deadlines.begin(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, stack: object) -> None:
        self._deadlines.end(self)
        # another cancellation beside ours is one of the caller, and stays one
        if self.is_over and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def cut(self) -> None:
        """The time is over: cancel what runs inside, once."""
        if not self.is_over:
            self.is_over = True
            self._task.cancel()
