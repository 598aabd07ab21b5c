"""How many attempts of one handler run at a time, where it says so, and when the others may come back.

A handler that says how much its other side bears (`outside(…, concurrent=…)`) has so many places in this process; one
with lanes of its own has them in each, for behind each is another receiver. What finds no place is not claimed, so
waiting for a slow receiver costs nobody an attempt, a statement or a slot: a few of its tasks are held in memory, and
the others are put off until about the time when their turn comes.
"""

import random
from collections.abc import Collection, Mapping
from typing import Final

from usercenter.messaging.groups import Context, Handler, Outside

_UNKNOWN_SECONDS: Final = 0.1  # an attempt of which none has come to its end yet
_QUICKEST_SECONDS: Final = 0.005  # an attempt, as long as nothing is known but that none has taken longer yet
_NEWEST_SHARE: Final = 0.2  # of the last attempt in what attempts take
_CLAIMED_SECONDS: Final = 0.2  # of work that is claimed ahead, so that a quick receiver need not wait for a turn
_MOST_AHEAD: Final = 3  # of its places
_HELD_SECONDS: Final = 2.0  # of work that is held in memory
_SHORTEST_WAIT_SECONDS: Final = 0.25
_LONGEST_WAIT_SECONDS: Final = 300.0  # a receiver that has become quick again is noticed by then


class _Gate:
    """What is known of one handler, or of one of its own lanes, that has so many places."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.under_way = 0
        self.seconds: float | None = None
        self.began: float | None = None
        """As long as no attempt has come to its end: when the first one began."""
        self.booked_until = 0.0

    def in_seconds(self, seconds: float, places: int) -> float:
        """How many attempts come to their end in so long."""
        return seconds * places / max(0.001, _UNKNOWN_SECONDS if self.seconds is None else self.seconds)

    def at_least_seconds(self, now: float) -> float:
        """What an attempt takes, or as long as that is not known, what it takes at least."""
        if self.seconds is not None:
            return max(0.001, self.seconds)
        return max(_QUICKEST_SECONDS, now - (now if self.began is None else self.began))


class Gates:
    """The gates of one runner with so many slots and so much room in memory, which they leave to others in part."""

    def __init__(self, handlers: Mapping[str, Handler], context: Context, *, slots: int, window: int) -> None:
        self._handlers = handlers
        self._context = context
        self._slots = slots
        self._window = window
        self._gates: dict[str, _Gate | None] = {}
        self._in_use = 0

    def may_enter(self, handler: str) -> bool:
        """Whether one more attempt may begin."""
        gate = self._gate(handler)
        return gate is None or gate.under_way < self._places(gate)

    def enter(self, handler: str) -> None:
        """An attempt begins."""
        if gate := self._gate(handler):
            gate.under_way += 1
            if gate.began is None:
                gate.began = self._context.clock.monotonic()

    def leave(self, handler: str, seconds: float | None) -> None:
        """It has come to its end after so long; None where that tells nothing of the other side."""
        gate = self._gate(handler)
        if gate is None:
            return
        gate.under_way -= 1
        if seconds is None:
            gate.began = None
        else:
            gate.seconds = seconds if gate.seconds is None else gate.seconds + _NEWEST_SHARE * (seconds - gate.seconds)

    def most_in_hand(self, handler: str) -> int | None:
        """How many lanes may be taken, for attempts under way and a few ahead of quick ones; None for any number."""
        gate = self._gate(handler)
        if gate is None:
            return None
        places = self._places(gate)
        ahead = 0 if gate.seconds is None else int(gate.in_seconds(_CLAIMED_SECONDS, places))
        return places + min(_MOST_AHEAD * places, ahead)

    def most_held(self, handler: str) -> int | None:
        """How many tasks are held in memory: enough for a while, and those of all gates half of the window."""
        gate = self._gate(handler)
        if gate is None:
            return None
        places, share = self._places(gate), self._window // (2 * max(1, self._in_use))
        return max(places, min(share, int(gate.in_seconds(_HELD_SECONDS, places))))

    def put_off_seconds(self, handler: str) -> float:
        """How long the next task that is too many shall wait; each call is one more task in the queue."""
        gate, held = self._gate(handler), self.most_held(handler)
        if gate is None or held is None:
            return 0.0
        now = self._context.clock.monotonic()
        a_second = self._places(gate) / gate.at_least_seconds(now)
        soonest = now + max(_SHORTEST_WAIT_SECONDS, held / a_second / 2)
        gate.booked_until = max(gate.booked_until, soonest) + 1 / a_second
        seconds = gate.booked_until - now
        if seconds > _LONGEST_WAIT_SECONDS:
            return _LONGEST_WAIT_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, guards nothing
        return seconds

    def look(self, handlers: Collection[str]) -> None:
        """These have tasks in memory, and no others: what is known of gates out of use is forgotten."""
        now = self._context.clock.monotonic()
        gone = [
            name
            for name, gate in self._gates.items()
            if name not in handlers and (gate is None or (not gate.under_way and gate.booked_until <= now))
        ]
        for name in gone:
            del self._gates[name]
        self._in_use = sum(self._gate(name) is not None for name in handlers)

    def _places(self, gate: _Gate) -> int:
        """The slots are divided equally if all gates would want more, and one part is left to what has no gate."""
        return max(1, min(gate.limit, self._slots // (self._in_use + 1)))

    def _gate(self, handler: str) -> _Gate | None:
        try:
            return self._gates[handler]
        except KeyError:
            declared = self._handlers.get(handler.partition("/")[0])
            concurrent = declared.concurrent if isinstance(declared, Outside) else None
            found = self._gates[handler] = _Gate(concurrent(self._context)) if concurrent else None
            return found
