"""Guesses in hand: their passwords are being compared, and nobody knows yet whether they are right.

What is noted in PostgreSQL says nothing about them. So they stand in lines, one for each thing that is counted, in the
order in which they came, and one that could be too many waits for those before it: it is refused when enough of them
turn out wrong, and goes on when they turn out right. A wave of right passwords is never refused for its size.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Place:
    """The place of one guess in one line."""

    def __init__(self, ahead: int) -> None:
        self._ahead = ahead
        self._wrong = 0
        self._changed = asyncio.Event()

    def look(self) -> None:
        """To be called just before the noted ones are counted, which then hold all that have left the line by now."""
        self._wrong = 0

    async def wrong_before(self, noted: int, *, most: int) -> int:
        """How many wrong ones there are, those included that left the line since `look`.

        As long as those still ahead leave open whether these are fewer than `most`, it waits for them.
        """
        while noted + self._wrong < most <= noted + self._wrong + self._ahead:
            self._changed.clear()
            await self._changed.wait()
        return noted + self._wrong

    def one_left(self, *, is_wrong: bool) -> None:
        """One that was ahead is decided; a wrong one has been noted."""
        self._ahead -= 1
        self._wrong += is_wrong
        self._changed.set()


class Guess:
    """A guess in hand. Whoever notes it as wrong says so here."""

    def __init__(self, places: list[Place]) -> None:
        self.places = places
        self.is_wrong = False


class Undecided:
    """The lines of one process."""

    def __init__(self) -> None:
        self._lines: dict[bytes, list[Place]] = {}

    @contextmanager
    def guess(self, *keys: bytes) -> Iterator[Guess]:
        """A guess at the end of each of these lines, until the block ends, in whatever way.

        It enters all of them at once, so that nobody waits in a ring.
        """
        guess = Guess([self._enter(key) for key in keys])
        try:
            yield guess
        finally:
            for key, place in zip(keys, guess.places, strict=True):
                self._leave(key, place, is_wrong=guess.is_wrong)

    def __len__(self) -> int:
        return len(self._lines)

    def _enter(self, key: bytes) -> Place:
        line = self._lines.setdefault(key, [])
        line.append(Place(ahead=len(line)))
        return line[-1]

    def _leave(self, key: bytes, place: Place, *, is_wrong: bool) -> None:
        line = self._lines[key]
        index = line.index(place)
        for later in line[index + 1 :]:
            later.one_left(is_wrong=is_wrong)
        del line[index]
        if not line:
            del self._lines[key]
