"""What a measure is: some work, and who competes in doing it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Final

import msgspec

from bench.ground import Ground, Grounds

ROUNDS: Final = 3
_WARM_UP_SHARE: Final = 10
_PATIENCE_SECONDS: Final = 120

Run = Callable[[Ground, int], Awaitable[float]]
"""Does the work for so many events on fresh ground; returns the seconds it took, preparation and proof left out.

Raises WorkNotDone when the ground does not show afterwards what it should.
"""


class WorkNotDone(Exception):
    """A contender was quick because it did not do everything: there is nothing to compare."""


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """The first contender is the product; `events` is how many of them a run carries."""

    name: str
    work: str
    events: int
    contenders: dict[str, Run]


class Score(msgspec.Struct, frozen=True):
    """The events per second of one contender, round by round."""

    per_second: list[float]

    @property
    def spread(self) -> tuple[float, float, float]:
        """Minimum, median, maximum."""
        return min(self.per_second), median(self.per_second), max(self.per_second)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one measure brought."""

    measure: Measure
    scores: dict[str, Score]

    @property
    def product(self) -> str:
        """The contender that is ours."""
        return next(iter(self.scores))

    def ratios(self, contender: str) -> list[float]:
        """The product's rate over this contender's, round by round: in one round both met the same machine."""
        ours, theirs = self.scores[self.product].per_second, self.scores[contender].per_second
        return [a / b for a, b in zip(ours, theirs, strict=True)]


async def take(measure: Measure, grounds: Grounds, *, tell: Callable[[str], None]) -> Result:
    """Run every contender once to warm up (a tenth of the work, not counted), then all of them in each round.

    Rounds alternate the order, so that no one always has the machine first.
    """
    for name in measure.contenders:
        await _rate(measure, name, grounds, events=measure.events // _WARM_UP_SHARE)
    rates: dict[str, list[float]] = {name: [] for name in measure.contenders}
    for number in range(ROUNDS):
        for name in _in_turn(list(measure.contenders), number):
            rates[name].append(await _rate(measure, name, grounds, events=measure.events))
            tell(f"{measure.name}, round {number + 1} of {ROUNDS}, {name}: {rates[name][-1]:,.0f} events/s")
    return Result(measure=measure, scores={name: Score(found) for name, found in rates.items()})


async def _rate(measure: Measure, name: str, grounds: Grounds, *, events: int) -> float:
    async with grounds.fresh() as ground:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return events / await measure.contenders[name](ground, events)
        except TimeoutError as error:
            raise WorkNotDone(f"{measure.name}, {name}: no end within {_PATIENCE_SECONDS} s") from error


def _in_turn(names: Sequence[str], number: int) -> Sequence[str]:
    return names if number % 2 == 0 else names[::-1]
