"""The product's own counters, as a clock: they count what is committed."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

_LOOK_EVERY_SECONDS: Final = 0.005


def counted(counter: Any, labels: Mapping[str, str]) -> int:
    """The sum over those series of a counter that have these labels."""
    samples = (sample for family in counter.collect() for sample in family.samples if sample.name.endswith("_total"))
    return int(sum(each.value for each in samples if labels.items() <= each.labels.items()))


async def until(counter: Any, labels: Mapping[str, str], number: int) -> None:
    """Wait until so many were counted."""
    while counted(counter, labels) < number:  # noqa: ASYNC110  # a counter has no event to wait for
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
