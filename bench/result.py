"""What a measure brought: spreads, ratios, and whether its goals are reached."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

import msgspec

from bench.measure import Figure, Goal, Measure


class Spread(NamedTuple):
    """Of several rounds."""

    minimum: float
    median: float
    maximum: float


class Verdict(NamedTuple):
    """A goal and what was found; None where a contender had nothing to say of its figure."""

    goal: Goal
    found: float | None

    @property
    def is_reached(self) -> bool:
        """Whether it was found, and within the bounds."""
        return self.found is not None and self.goal.is_met_by(self.found)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What each contender found, round by round, and how long the whole measure took."""

    measure: Measure
    rounds: Mapping[str, Sequence[Mapping[str, float]]]
    seconds: float

    def contenders(self, figure: Figure) -> list[str]:
        """Who has something to say of this figure."""
        return [name for name in self.rounds if self.values(name, figure.name)]

    def values(self, contender: str, figure: str) -> list[float]:
        """Its values, round by round; empty where some are missing."""
        found = self.rounds[contender]
        return [each[figure] for each in found] if all(figure in each for each in found) else []

    def spread(self, contender: str, figure: str) -> Spread:
        """Minimum, median, maximum."""
        values = self.values(contender, figure)
        return Spread(min(values), median(values), max(values))

    def ratios(self, figure: str, contender: str, *, of: str | None = None) -> list[float]:
        """The product's value (or that `of` another one) over this contender's: in one round both met one machine."""
        ours, theirs = self.values(of or self.measure.product, figure), self.values(contender, figure)
        return [a / b for a, b in zip(ours, theirs, strict=True)] if ours and theirs else []

    def verdicts(self) -> list[Verdict]:
        """Each goal with what was found: the median of the rounds, or of the rounds' own ratios."""
        return [Verdict(goal, self._found(goal)) for goal in self.measure.goals]

    def _found(self, goal: Goal) -> float | None:
        if goal.against is None:
            values = self.values(goal.contender or self.measure.product, goal.figure)
        else:
            values = self.ratios(goal.figure, goal.against, of=goal.contender)
        return median(values) if values else None
