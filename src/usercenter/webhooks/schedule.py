"""When a failed delivery is tried again: the schedule that the Standard Webhooks specification recommends."""

import random
from typing import Final

from usercenter.messaging.groups import Schedule

_MINUTE: Final = 60.0
_HOUR: Final = 3_600.0


class FixedSchedule(Schedule, frozen=True, kw_only=True):
    """The wait after each failed attempt, and no other; `attempts` is one more than there are waits."""

    waits_seconds: tuple[float, ...]

    def plain_seconds(self, attempts: int) -> float | None:
        """The wait after so many attempts (1 or more), without jitter; None after the last."""
        return self.waits_seconds[attempts - 1] if attempts <= len(self.waits_seconds) else None

    def wait_seconds(self, attempts: int) -> float | None:
        """The wait after so many attempts, and up to a tenth more of it; None after the last."""
        plain = self.plain_seconds(attempts)
        if plain is None:
            return None
        return plain * random.uniform(1.0, 1.1)  # noqa: S311  # spreads load, guards nothing


STANDARD: Final = FixedSchedule(
    attempts=10,
    waits_seconds=(
        5.0,
        5 * _MINUTE,
        30 * _MINUTE,
        2 * _HOUR,
        5 * _HOUR,
        10 * _HOUR,
        14 * _HOUR,
        20 * _HOUR,
        24 * _HOUR,
    ),
)
"""Ten attempts: at once, and nine more within about three days."""
