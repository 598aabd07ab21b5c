"""A result for people (a table) and for programs (a file)."""

from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from bench.measure import ROUNDS, Result

RESULTS: Final = Path(__file__).with_name("results")


def show(result: Result, console: Console) -> None:
    """Print minimum, median and maximum of each contender, and how many times as fast as it the product was."""
    measure = result.measure
    console.print(f"[bold]{measure.name}[/]: {measure.work}")
    table = Table("contender", caption=f"events/s, {ROUNDS} rounds of {measure.events:,} events")
    for heading in ("minimum", "median", "maximum", "product ÷ this"):
        table.add_column(heading, justify="right")
    for name, score in result.scores.items():
        ratio = "" if name == result.product else f"{median(result.ratios(name)):.2f}"
        table.add_row(name, *(f"{rate:,.0f}" for rate in score.spread), ratio)
    console.print(table)


def write(result: Result, facts: dict[str, Any]) -> Path:
    """Write `results/<measure>.json`, replacing the one before; returns its path."""
    measure = result.measure
    contenders = {name: _contender(result, name) for name in result.scores}
    body = {
        "measure": measure.name,
        "work": measure.work,
        "unit": "events/s",
        "events": measure.events,
        "measured_at": datetime.now(UTC),
        "contenders": contenders,
        **facts,
    }
    path = RESULTS / f"{measure.name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(body)) + b"\n")
    return path


def _contender(result: Result, name: str) -> dict[str, Any]:
    minimum, middle, maximum = result.scores[name].spread
    ratios = result.ratios(name)
    compared = {
        "product_over_this": round(median(ratios), 3),
        "product_over_this_by_round": [round(ratio, 3) for ratio in ratios],
    }
    return {
        "minimum": round(minimum),
        "median": round(middle),
        "maximum": round(maximum),
        "rounds": [round(rate) for rate in result.scores[name].per_second],
        **({} if name == result.product else compared),
    }
