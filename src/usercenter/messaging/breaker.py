"""A breaker: while the other side is down, no attempts are burned on it. Pure; the clock is passed in.

Closed, everything may be tried. It opens when so many users in a row have failed, each counted once: one user with a
problem of its own is no outage. Once open, nothing is tried for a while; then it is half open, and one attempt at a
time may probe: a success closes it, a failure opens it again for twice as long.
"""

from collections.abc import Callable
from uuid import UUID


class Breaker:
    """Guards one outside handler, or one lane of those that have lanes of their own."""

    def __init__(
        self, *, failures: int, seconds: float, longest_seconds: float, monotonic: Callable[[], float]
    ) -> None:
        self._failures = failures
        self._first_seconds = seconds
        self._longest_seconds = longest_seconds
        self._monotonic = monotonic
        self._failed: set[UUID] = set()
        self._seconds = seconds
        self._open_until: float | None = None
        self._opened_at = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether everything may be tried."""
        return self._open_until is None

    @property
    def may_probe(self) -> bool:
        """Whether it is half open: one attempt may show whether the other side is back."""
        return self._open_until is not None and self._monotonic() >= self._open_until

    @property
    def seconds_left(self) -> float:
        """How long nothing is tried yet; 0 when something may be."""
        return max(0.0, (self._open_until or 0.0) - self._monotonic()) if not self.is_closed else 0.0

    @property
    def seconds_open(self) -> float:
        """How long it has not been closed; 0 when it is."""
        return 0.0 if self.is_closed else self._monotonic() - self._opened_at

    def note_success(self) -> bool:
        """The other side is there; says whether that closed it."""
        was_closed = self.is_closed
        self._failed.clear()
        self._seconds = self._first_seconds
        self._open_until = None
        return not was_closed

    def note_failure(self, user_id: UUID) -> bool:
        """An attempt for this user failed; says whether that opened it, or opened it again.

        What fails while it is open was begun before, and tells nothing new.
        """
        if self.may_probe:
            self._seconds = min(self._longest_seconds, self._seconds * 2)
        elif self.is_closed:
            self._failed.add(user_id)
            if len(self._failed) < self._failures:
                return False
            self._opened_at = self._monotonic()
        else:
            return False
        self._open_until = self._monotonic() + self._seconds
        return True
