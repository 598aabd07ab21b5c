"""What a measure is: some work, who competes in doing it, the figures it brings, and the goals they are held to."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec

from bench.ground import Ground, Grounds

ROUNDS: Final = 3
_WARM_UP_SHARE: Final = 10
_PATIENCE_SECONDS: Final = 180

Run = Callable[[Ground, int], Awaitable[Mapping[str, float]]]
"""Does the work for so many events on fresh ground; returns figures by name, preparation and proof left out.

A contender that has nothing to say of a figure leaves it out. Raises WorkNotDone when the ground does not show
afterwards what it should.
"""

Prepare = Callable[[Ground], Awaitable[None]]
"""Fills a database for all runs of a contender."""


class WorkNotDone(Exception):
    """A contender was quick because it did not do everything: there is nothing to compare."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is measured."""

    name: str
    unit: str
    is_more_better: bool = True


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """A bound for a figure of the product (or of another contender); `words` are those of the issue.

    With `against` the bound is one for the ratio to that contender, round by round.
    """

    words: str
    figure: str
    at_least: float | None = None
    at_most: float | None = None
    contender: str | None = None
    against: str | None = None

    def is_met_by(self, value: float) -> bool:
        """Whether the value keeps within the bounds."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """The first contender is the product; `events` is how many a run carries, `fewer` is who carries only so many.

    The warm-up of each contender has a part of its events, one in `warm_up_share`; with 0 there is none, and with
    `warm_up_by` only these do it, where preparation is long. Contenders that are no rivals (roles, settings) stand side
    by side without a ratio. Who is `prepared` has one database for all runs, which is filled once, before the first.
    """

    name: str
    work: str
    events: int
    contenders: Mapping[str, Run]
    figures: Sequence[Figure] = (Figure(name="events/s", unit="events/s"),)
    goals: Sequence[Goal] = ()
    fewer: Mapping[str, int] = {}
    are_rivals: bool = True
    rounds: int = ROUNDS
    warm_up_share: int = _WARM_UP_SHARE
    warm_up_by: Sequence[str] = ()
    prepared: Mapping[str, Prepare] = {}
    patience_seconds: int = _PATIENCE_SECONDS

    @property
    def product(self) -> str:
        """The contender that is ours."""
        return next(iter(self.contenders))

    def events_of(self, contender: str) -> int:
        """How many events this contender carries in a run."""
        return self.fewer.get(contender, self.events)


def rate(events: int, seconds: float) -> dict[str, float]:
    """The figures of a contender that did so much in so long."""
    return {"events/s": events / seconds}


async def take(
    measure: Measure, grounds: Grounds, *, tell: Callable[[str], None]
) -> tuple[dict[str, list[dict[str, float]]], float]:
    """Run the contenders once to warm up (not counted), then all of them in each round.

    Rounds alternate the order, so that no one always has the machine first. Returns what each contender found, round
    by round, and how many seconds all of it took.
    """
    began = time.perf_counter()
    async with _prepared(measure, grounds) as kept:
        found = await _rounds(measure, _on(grounds, kept), tell=tell)
    return found, time.perf_counter() - began


@asynccontextmanager
async def _prepared(measure: Measure, grounds: Grounds) -> AsyncIterator[Mapping[str, Ground]]:
    """The grounds of those who are prepared, filled; dropped with the block."""
    async with AsyncExitStack() as stack:
        kept = {}
        for name, prepare in measure.prepared.items():
            kept[name] = await stack.enter_async_context(grounds.fresh())
            async with _patience(measure, name):
                await prepare(kept[name])
        yield kept


def _on(grounds: Grounds, kept: Mapping[str, Ground]) -> Callable[[str], AbstractAsyncContextManager[Ground]]:
    """The ground for a run of this contender."""
    return lambda name: grounds.again(kept[name]) if name in kept else grounds.fresh()


async def _rounds(
    measure: Measure, ground_of: Callable[[str], AbstractAsyncContextManager[Ground]], *, tell: Callable[[str], None]
) -> dict[str, list[dict[str, float]]]:
    async def run(name: str, events: int) -> dict[str, float]:
        async with ground_of(name) as ground, _patience(measure, name):
            return dict(await measure.contenders[name](ground, events))

    if measure.warm_up_share:
        for name in measure.warm_up_by or measure.contenders:
            await run(name, measure.events_of(name) // measure.warm_up_share)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in measure.contenders}
    for number in range(measure.rounds):
        for name in in_turn(list(measure.contenders), number):
            figures = await run(name, measure.events_of(name))
            found[name].append(figures)
            said = ", ".join(f"{figure} {value:,.4g}" for figure, value in figures.items())
            tell(f"{measure.name}, round {number + 1} of {measure.rounds}, {name}: {said}")
    return found


@asynccontextmanager
async def _patience(measure: Measure, name: str) -> AsyncIterator[None]:
    """Raises WorkNotDone when the block takes longer than the measure has patience."""
    try:
        async with asyncio.timeout(measure.patience_seconds):
            yield
    except TimeoutError as error:
        raise WorkNotDone(f"{measure.name}, {name}: no end within {measure.patience_seconds} s") from error


def in_turn(names: Sequence[str], number: int) -> Sequence[str]:
    """The order of this round."""
    return names if number % 2 == 0 else names[::-1]
