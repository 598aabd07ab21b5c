"""The rows that a relay has in hand: of each key one on its way, the others behind it in order.

Only memory, no waiting and no network: what may be sent when is decided here. The table `outbox` is the truth; whatever
is put back is found there again.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from usercenter.clock import Clock
from usercenter.messaging.outbox import Row

LONGEST_QUEUE: Final = 100
"""Rows of one key that are held at most: a user with a long backlog leaves room for the others."""


class InHand:
    """Rows by position; they stay until they are forgotten (deleted from the outbox) or put back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[int, Row] = {}
        self._on_its_way: dict[str, Row] = {}
        self._behind: dict[str, deque[Row]] = {}
        self._held_until: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def positions(self) -> list[int]:
        """Not to be fetched again."""
        return list(self._rows)

    def shards(self) -> set[int]:
        """Those with rows on their way or waiting, or arrived and not yet forgotten."""
        return {row.shard for row in self._rows.values()}

    def closed_keys(self) -> list[str]:
        """Keys of which nothing is to be fetched now: on hold, or with enough in hand. Holds that are over end here."""
        now = self._clock.monotonic()
        self._held_until = {key: until for key, until in self._held_until.items() if until > now}
        full = [key for key, queue in self._behind.items() if len(queue) > LONGEST_QUEUE // 2]
        return [*self._held_until, *full]

    def admit(self, row: Row) -> bool:
        """Take a fetched row; True if it may be sent now, False if it waits for its turn or is not taken at all.

        Not taken are rows of a key that was put back while they were fetched: they would overtake it.
        """
        if row.key in self._held_until:
            return False
        if row.key not in self._on_its_way:
            self._rows[row.position] = row
            return True
        queue = self._behind.setdefault(row.key, deque())
        if len(queue) < LONGEST_QUEUE:
            self._rows[row.position] = row
            queue.append(row)
        return False

    def depart(self, row: Row) -> None:
        """The row is on its way from now on."""
        self._on_its_way[row.key] = row

    def arrive(self, row: Row) -> None:
        """It is not on its way any more, wherever it went; the next one waits for `next_of`."""
        del self._on_its_way[row.key]

    def next_of(self, key: str) -> Row | None:
        """Take the row whose turn it is from its queue, if there is one."""
        queue = self._behind.get(key)
        if not queue:
            return None
        row = queue.popleft()
        if not queue:
            del self._behind[key]
        return row

    def put_back(self, row: Row, *, seconds: float = 0.0) -> None:
        """Leave a row, and all behind it, to the outbox: for so long, and at least until the next fetch begins."""
        self._on_its_way.pop(row.key, None)
        self._held_until[row.key] = self._clock.monotonic() + seconds
        for each in (row, *self._behind.pop(row.key, ())):
            self._rows.pop(each.position, None)

    def forget(self, rows: Iterable[Row]) -> None:
        """They are gone from the outbox."""
        for row in rows:
            self._rows.pop(row.position, None)
