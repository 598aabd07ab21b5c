"""A result for people (tables) and for programs (a file)."""

from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from bench.measure import Figure
from bench.result import Result, Verdict

RESULTS: Final = Path(__file__).with_name("results")


def show(result: Result, console: Console) -> None:
    """Print each contender's spread of each figure, the ratios, and the goals."""
    measure = result.measure
    console.print(f"[bold]{measure.name}[/]: {measure.work}")
    console.print(_table(result))
    for verdict in result.verdicts():
        console.print(_words(verdict))
    console.print(f"{_sizes(result)}; {result.seconds:.0f} s in all")


def write(result: Result, facts: dict[str, Any], *, folder: Path = RESULTS) -> Path:
    """Write `results/<measure>.json`, replacing the one before; returns its path."""
    measure = result.measure
    body = {
        "measure": measure.name,
        "work": measure.work,
        "events": measure.events,
        "fewer_events": measure.fewer,
        "rounds": measure.rounds,
        "seconds": round(result.seconds),
        "measured_at": datetime.now(UTC),
        "product": measure.product,
        "figures": [_figure(result, each) for each in measure.figures],
        "goals": [_goal(each) for each in result.verdicts()],
        **facts,
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{measure.name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(body)) + b"\n")
    return path


def _table(result: Result) -> Table:
    table = Table("figure", "contender")
    for heading in ("minimum", "median", "maximum", "product ÷ this"):
        table.add_column(heading, justify="right")
    for figure in result.measure.figures:
        for name in result.contenders(figure):
            ratios = _ratios(result, figure, name)
            ratio = f"{median(ratios):.2f}" if ratios else ""
            table.add_row(figure.name, name, *map(_number, result.spread(name, figure.name)), ratio)
    return table


def _sizes(result: Result) -> str:
    measure = result.measure
    fewer = "".join(f"; {number:,} for {name}" for name, number in measure.fewer.items())
    return f"{measure.rounds} rounds of {measure.events:,}{fewer}"


def _words(verdict: Verdict) -> str:
    found = "nothing" if verdict.found is None else _number(verdict.found)
    mark = "[green]reached[/]" if verdict.is_reached else "[red]not reached[/]"
    return f"{mark}: {verdict.goal.words} (found: {found})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _figure(result: Result, figure: Figure) -> dict[str, Any]:
    contenders = {name: _contender(result, figure, name) for name in result.contenders(figure)}
    better = "more" if figure.is_more_better else "less"
    return {"name": figure.name, "unit": figure.unit, "better": better, "contenders": contenders}


def _contender(result: Result, figure: Figure, name: str) -> dict[str, Any]:
    spread = result.spread(name, figure.name)
    found: dict[str, Any] = {key: _rounded(value) for key, value in spread._asdict().items()}
    found["rounds"] = [_rounded(value) for value in result.values(name, figure.name)]
    ratios = _ratios(result, figure, name)
    if ratios:
        found["product_over_this"] = round(median(ratios), 3)
        found["product_over_this_by_round"] = [round(ratio, 3) for ratio in ratios]
    return found


def _ratios(result: Result, figure: Figure, name: str) -> list[float]:
    is_compared = result.measure.are_rivals and name != result.measure.product
    return result.ratios(figure.name, name) if is_compared else []


def _goal(verdict: Verdict) -> dict[str, Any]:
    found = None if verdict.found is None else _rounded(verdict.found)
    return {**msgspec.structs.asdict(verdict.goal), "found": found, "is_reached": verdict.is_reached}


def _rounded(value: float) -> float:
    return round(value) if abs(value) >= 1_000 else float(f"{value:.4g}")
