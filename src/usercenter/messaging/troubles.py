"""What is wrong right now, and since when: said once, again every few minutes, and when it is over.

Whoever meets an error notes it here and logs only what comes back; at the end he learns how long it lasted.
"""

import threading
from datetime import datetime
from typing import Any, Final

import confluent_kafka
import msgspec

from usercenter.clock import Clock
from usercenter.messaging.advice import UNREACHABLE, Advice, Doing, advise

AGAIN_SECONDS: Final = 300.0
CALM_SECONDS: Final = 3.0


class Trouble(msgspec.Struct, kw_only=True):
    """One thing that is wrong at one place (a topic, say)."""

    place: str
    kind: int | str
    """The error's code; of the many codes of one outage, its state."""
    error: str
    advice: Advice
    since: datetime
    began: float
    said: float
    well_since: float | None = None

    def facts(self) -> dict[str, Any]:
        """For a line of the log: what, since when, what goes on, what to do."""
        return {"error": self.error, "since": self.since.isoformat(timespec="seconds"), **self.advice.facts()}

    def __str__(self) -> str:
        since = self.since.isoformat(timespec="seconds")
        advice = self.advice
        return (
            f"{advice.state} ({self.error}) since {since}; {advice.meanwhile}; next: {advice.next}; see {advice.page}"
        )


class Troubles:
    """Those of one part of the process; may be used from several threads."""

    def __init__(
        self, clock: Clock, *, doing: Doing, calm_seconds: float = CALM_SECONDS, again_seconds: float = AGAIN_SECONDS
    ) -> None:
        """`calm_seconds`: a trouble is over when its place has worked for so long without it."""
        self._clock = clock
        self._doing = doing
        self._calm_seconds = calm_seconds
        self._again_seconds = again_seconds
        self._lock = threading.Lock()
        self._troubles: dict[tuple[str, int | str], Trouble] = {}

    def met(self, place: str, error: confluent_kafka.KafkaError) -> Trouble | None:
        """Note an error; returns its trouble when it is time to say so: at first, and again every few minutes."""
        now, kind = self._clock.monotonic(), self._kind(error)
        with self._lock:
            trouble = self._troubles.get((place, kind))
            if trouble is None:
                trouble = self._troubles[place, kind] = self._new(place, error, now)
                return trouble
            trouble.well_since = None
            if now - trouble.said < self._again_seconds:
                return None
            trouble.said = now
            return trouble

    def went_well(self, place: str) -> None:
        """Something worked at this place; alone it proves nothing, for another partition may still fail."""
        if not self._troubles:
            return
        with self._lock:
            for trouble in self._troubles.values():
                if trouble.place == place and trouble.well_since is None:
                    trouble.well_since = self._clock.monotonic()

    def ended(self) -> list[tuple[Trouble, float]]:
        """Those that are over, each told once, with how many seconds it lasted."""
        if not self._troubles:
            return []
        with self._lock:
            calm_since = self._clock.monotonic() - self._calm_seconds
            over = [each for each in self._troubles.values() if each.well_since is not None]
            over = [each for each in over if each.well_since <= calm_since]  # type: ignore[operator]  # not None
            for each in over:
                del self._troubles[each.place, each.kind]
        return [(each, round((each.well_since or each.began) - each.began, 1)) for each in over]

    def current(self) -> list[Trouble]:
        """What is wrong now, the oldest first."""
        with self._lock:
            return sorted(self._troubles.values(), key=lambda each: each.began)

    def _kind(self, error: confluent_kafka.KafkaError) -> int | str:
        advice = advise(error, doing=self._doing)
        return advice.state if advice == UNREACHABLE else error.code()

    def _new(self, place: str, error: confluent_kafka.KafkaError, now: float) -> Trouble:
        advice = advise(error, doing=self._doing)
        text = f"{error.name()}: {error.str()}"
        return Trouble(
            place=place,
            kind=self._kind(error),
            error=text,
            advice=advice,
            since=self._clock.now(),
            began=now,
            said=now,
        )
