"""What `verify` says: the books of each group, and what is wrong with the next step for each."""

from datetime import datetime
from typing import Final, Literal

import msgspec

EXAMPLES: Final = 20
"""So many ids of one finding are named; the rest is counted."""

Invariant = Literal["nothing lost", "nothing invented", "order per user", "effect once", "nothing stuck"]


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """One group: `committed = handled + waiting + parked + dead + missing`, each event counted once.

    An event counts as dead before parked, and as parked before waiting, when its handlers are not all at one point.
    """

    group: str
    committed: int = 0
    handled: int = 0
    waiting: int = 0
    parked: int = 0
    dead: int = 0
    missing: int = 0
    unproven: int = 0
    """Of `waiting`: taken to be on Kafka, because Kafka was not to be read."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong."""

    invariant: Invariant
    what: str
    count: int
    examples: list[str] = []
    """The first few ids: of events, or of what `what` speaks of."""
    next_step: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the system at one moment."""

    taken_at: datetime
    books: list[Book]
    findings: list[Finding]
    notes: list[str] = []
    """What was not looked at, and why."""

    @property
    def is_fine(self) -> bool:
        """Whether nothing is wrong: no finding, and no event missing."""
        return not self.findings and all(book.missing == 0 for book in self.books)
