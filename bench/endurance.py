"""A million events through a relay and a worker: does either of them grow?

Not part of a whole run, for it takes ten minutes and more: `make bench MEASURE=endurance`. The events come in ten equal
parts; after each of them the resident set of both processes is read at once, with the worker's last burst still in it.
"""

from typing import Final

from bench.ground import Ground
from bench.measure import Figure, Goal, Measure
from bench.process import product
from bench.start import through

_PARTS: Final = 10
_BOTH: Final = "relay and worker, a process each"
_ROLES: Final = ("relay", "worker")


async def both(ground: Ground, number: int) -> dict[str, float]:
    """The memory of each after every part of the events."""
    part = number // _PARTS
    found: dict[str, float] = {}
    async with product(ground.config, roles="worker") as worker, product(ground.config, roles="relay") as relay:
        for done in range(_PARTS):
            await through(ground, worker, part, before=done * part)
            found |= {_after(role, done + 1): each.memory_mb for role, each in (("relay", relay), ("worker", worker))}
    return found | {_growth(role): found[_after(role, _PARTS)] - found[_after(role, 1)] for role in _ROLES}


def _after(role: str, parts: int) -> str:
    return f"{role}: MB after {parts} tenths"


def _growth(role: str) -> str:
    return f"{role}: MB more from the first tenth on"


def _figures() -> list[Figure]:
    levels = [_after(role, part) for role in _ROLES for part in range(1, _PARTS + 1)]
    return [Figure(name=name, unit="MB", is_more_better=False) for name in (*levels, *map(_growth, _ROLES))]


MEASURE: Final = Measure(
    name="endurance",
    work="1,000,000 events through relay and worker; the memory of each after every tenth of them",
    events=1_000_000,
    contenders={_BOTH: both},
    figures=_figures(),
    goals=[Goal(words=f"flat over 1 M events: {role}", figure=_growth(role), at_most=5) for role in _ROLES],
    are_rivals=False,
    rounds=1,
    warm_up_share=0,
    patience_seconds=3600,
)
