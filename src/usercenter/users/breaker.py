"""A breaker: what failed a moment ago is not asked again for a moment."""

import time
from collections.abc import Callable


class Breaker:
    """Opens at a failure, and closes by itself after `seconds`; what is behind it is then tried again."""

    def __init__(self, *, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._open_until = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether it failed so short a time ago that asking is no use."""
        return self._monotonic() < self._open_until

    def note_failure(self) -> None:
        """Open it."""
        self._open_until = self._monotonic() + self._seconds
