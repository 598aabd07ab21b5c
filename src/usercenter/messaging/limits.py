"""How much may fail before a group, or a handler of tasks, stops itself: only counting, without a database.

A bad deployment must not empty a topic into the dead letters. Each process counts for itself, from its start and from
each resumption on; the stop it decides on is everybody's (`messaging/stops.py`).
"""

from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from usercenter.clock import Clock
from usercenter.config.model import Limits as Settings


class Verdict(Enum):
    """What came of one event, at the worst of its handlers."""

    FINE = 0
    PARKED = 1
    DEAD = 2


class _Noted(NamedTuple):
    moment: float
    events: int
    failed: int


class Limits:
    """The counts of one group, or of one handler of tasks."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._window: deque[_Noted] = deque()
        self._dead_in_a_row = 0

    def passed_with(self, verdicts: Iterable[Verdict], *, parked_users: int = 0) -> str | None:
        """Why to stop, if these are committed now; None for no reason. Counts nothing yet: the commit may fail."""
        verdicts = list(verdicts)
        if (row := self._row_with(verdicts)) >= self._settings.dead_in_a_row:
            return f"{row} dead letters in a row (limits.dead_in_a_row: {self._settings.dead_in_a_row})"
        noted = [*self._recent(), self._noted(verdicts)]
        events, failed = sum(each.events for each in noted), sum(each.failed for each in noted)
        if events >= self._settings.window_events and failed * 100 >= events * self._settings.failed_percent:
            return (
                f"{failed} of the last {events} events failed "
                f"(limits.failed_percent: {self._settings.failed_percent} of at least {self._settings.window_events})"
            )
        most = self._settings.parked_users
        if parked_users >= most:
            return f"{parked_users} users of one handler are parked (limits.parked_users: {most})"
        return None

    def note(self, verdicts: Iterable[Verdict]) -> None:
        """Count what is committed, in its order."""
        verdicts = list(verdicts)
        self._dead_in_a_row = self._row_with(verdicts)
        if verdicts:
            self._window.append(self._noted(verdicts))

    def begin_anew(self) -> None:
        """Forget everything: somebody mended it."""
        self._window.clear()
        self._dead_in_a_row = 0

    def _row_with(self, verdicts: list[Verdict]) -> int:
        """The longest row of dead letters that ends, or is passed, within these; else the one that goes on."""
        row = longest = self._dead_in_a_row
        for verdict in verdicts:
            row = row + 1 if verdict is Verdict.DEAD else 0
            longest = max(longest, row)
        return longest if longest >= self._settings.dead_in_a_row else row

    def _noted(self, verdicts: list[Verdict]) -> _Noted:
        failed = sum(verdict is not Verdict.FINE for verdict in verdicts)
        return _Noted(self._clock.monotonic(), len(verdicts), failed)

    def _recent(self) -> Iterable[_Noted]:
        since = self._clock.monotonic() - self._settings.window_seconds
        while self._window and self._window[0].moment < since:
            self._window.popleft()
        return self._window
