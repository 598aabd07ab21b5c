"""How far a replay is: a bar on a terminal, a plain line now and then without one. All of it on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from usercenter.cli.terminal import say

if TYPE_CHECKING:
    from usercenter.messaging.operations.replays import Replay

Tell = Callable[["Replay"], None]

_LINE_EVERY_SECONDS: Final = 5.0


@contextmanager
def shown() -> Iterator[Tell]:
    """What to call with each step."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None, rate="")
        pace = Pace()

        def tell(replay: "Replay") -> None:
            rate = f"{pace.rate(replay):,.0f}/s, {replay.failed:,} failed"
            progress.update(task, total=replay.total, completed=replay.position, rate=rate)

        yield tell


class Pace:
    """Events a second of this process, whose first step is only where it began."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since = now()
        self._first: int | None = None

    def rate(self, replay: "Replay") -> float:
        """So far; 0 at the first step."""
        if self._first is None:
            self._first, self._since = replay.position, self._now()
        return (replay.position - self._first) / max(0.001, self._now() - self._since)


class Lines:
    """A line every five seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._pace = Pace(now)
        self._said_at = now()

    def __call__(self, replay: "Replay") -> None:
        """Say it, unless it was said just now."""
        rate = self._pace.rate(replay)
        if self._now() - self._said_at < _LINE_EVERY_SECONDS and replay.position < replay.total:
            return
        self._said_at = self._now()
        say(line(replay, rate))


def line(replay: "Replay", rate: float) -> str:
    """`1,500 of 10,000 events, 3 failed, 500/s, 17 s left`."""
    left = (replay.total - replay.position) / rate if rate else 0.0
    return (
        f"{replay.position:,} of {replay.total:,} events, {replay.failed:,} failed, {rate:,.0f}/s, {left:,.0f} s left"
    )
