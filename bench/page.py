"""`docs/performance.md`, written from `bench/results/*.json`: what was measured, where, and which goals are reached."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.report import RESULTS

PAGE: Final = Path("docs/performance.md")
PICTURES: Final = Path("docs/pictures/performance")
REASONS: Final = Path(__file__).with_name("reasons.toml")
_HEAD: Final = """# Performance

Written by `make bench` from `bench/results/` (`python -m bench --page` writes it again); do not edit. What each measure
does, and against whom, is told in [bench/README.md](../bench/README.md). Everything is durable: `fsync`,
`synchronous_commit`, `acks=all`. Each figure is the minimum, median and maximum of its rounds; a ratio is the median of
the rounds' own ratios, and says more than a rate, which belongs to one machine. PostgreSQL, Kafka, the load and the
service share that machine. The machine is not equally fast every day: where `a hash` is printed, it is the time of one
argon2id hash (19 MiB, two rounds) on an idle core just before the measure.
"""

Stored = Mapping[str, Any]
"""A result as `report.write` keeps it."""


_FLAMES: Final = {
    "flame-relay.svg": "the relay, from the outbox to Kafka",
    "flame-consume.svg": "the consumer and its handlers, from Kafka to the effects",
    "flame-me.svg": "`GET /me` over 8 connections",
}
_ABOUT_FLAMES: Final = """## Where the time goes

Flame graphs by py-spy (`python -m bench --flames`): the wider a frame, the more of the samples in which a thread ran
Python in it. Open one by itself to search in it and to look closer.
"""


def write(
    *, order: Sequence[str] = (), results: Path = RESULTS, page: Path = PAGE, pictures: Path | None = PICTURES
) -> Path:
    """Write the page of all stored results, with a picture for each unless `pictures` is None; returns its path.

    The measures stand in this order, others behind them. A picture needs matplotlib, of the group `bench`.
    """
    found = stored(results, order)
    reasons = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    drawn: dict[str, str] = {}
    if pictures is not None:
        from bench import pictures as drawing  # matplotlib, which the tests do not need

        pictures.mkdir(parents=True, exist_ok=True)
        for each in found:
            path = drawing.draw(each, pictures)
            drawn[each["measure"]] = str(path.relative_to(page.parent))
    flames = (
        [(pictures / name).relative_to(page.parent) for name in _FLAMES if (pictures / name).exists()]
        if pictures
        else []
    )
    page.write_text(text(found, reasons=reasons, pictures=drawn, flames=flames), encoding="utf-8")
    return page


def stored(folder: Path, order: Sequence[str] = ()) -> list[Stored]:
    """Every stored result, in this order; what is not named there comes last, by name."""
    places = {name: place for place, name in enumerate(order)}
    found = [msgspec.json.decode(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    return sorted(found, key=lambda each: places.get(each["measure"], len(places)))


def text(
    results: Sequence[Stored],
    *,
    reasons: Mapping[str, Mapping[str, str]],
    pictures: Mapping[str, str],
    flames: Sequence[Path] = (),
) -> str:
    """The page. `reasons` say, by measure and by the words of a goal, why it is not reached."""
    if not results:
        return f"{_HEAD}\nNothing has been measured yet.\n"
    parts = [_HEAD, _goals(results, reasons)]
    parts += [_measure(each, pictures.get(each["measure"])) for each in results]
    drawn = [f"- [{_FLAMES[path.name]}]({path})" for path in flames]
    return "\n".join([*parts, *([_ABOUT_FLAMES, *drawn, ""] if drawn else []), _machines(results)])


def _goals(results: Sequence[Stored], reasons: Mapping[str, Mapping[str, str]]) -> str:
    """Every goal, and why not where it is not reached."""
    goals = [(each["measure"], goal) for each in results for goal in each["goals"]]
    reached = sum(goal["is_reached"] for _, goal in goals)
    lines = [
        f"## Goals\n\n{reached} of {len(goals)} are reached.\n",
        "| measure | goal | found | |",
        "|---|---|---:|---|",
    ]
    lines += [
        f"| [{name}](#{name}) | {_cell(goal['words'])} | {_found(goal)} | "
        f"{'reached' if goal['is_reached'] else '**not reached**'} |"
        for name, goal in goals
    ]
    missed = [(name, goal["words"]) for name, goal in goals if not goal["is_reached"]]
    if missed:
        lines.append("\nNot reached, and why:\n")
        why: dict[tuple[str, str], list[str]] = {}
        for name, words in missed:
            why.setdefault((name, _reason(reasons, name, words)), []).append(words)
        lines += [f"- `{name}`, {'; '.join(which)}: {reason}" for (name, reason), which in why.items()]
    return "\n".join(lines) + "\n"


def _reason(reasons: Mapping[str, Mapping[str, str]], measure: str, words: str) -> str:
    """The one for the goal, else the one for the whole measure."""
    known = reasons.get(measure, {})
    return " ".join(known.get(words, known.get("*", "the reason has not been found yet.")).split())


def _measure(result: Stored, picture: str | None) -> str:
    name = result["measure"]
    lines = [f"## {name}\n", f"{_sentence(result['work'])}\n"]
    if picture:
        lines.append(f"![{name}: {_cell(result['work'])}]({picture})\n")
    lines += ["| figure | contender | minimum | median | maximum | product ÷ this |", "|---|---|---:|---:|---:|---:|"]
    for figure in result["figures"]:
        lines += [_row(figure, contender, found) for contender, found in figure["contenders"].items()]
    rounds = result["rounds"]
    fewer = "".join(f"; {_number(count)} for {who}" for who, count in result["fewer_events"].items())
    times = "one round" if rounds == 1 else f"{rounds} rounds"
    machine = result["machine"]
    lines.append(
        f"\n{times} of {result['events']:,}{fewer}; measured on {result['measured_at'][:10]}, "
        f"load before {machine['load_before'][0]:g}"
        + (f", a hash in {machine['hash_ms']:g} ms" if "hash_ms" in machine else "")
        + ".\n"
    )
    return "\n".join(lines)


def _row(figure: Stored, contender: str, found: Stored) -> str:
    unit = "" if figure["unit"] in figure["name"] else f", {figure['unit']}"
    ratio = f"{found['product_over_this']:.2f}" if "product_over_this" in found else ""
    spread = " | ".join(_number(found[key]) for key in ("minimum", "median", "maximum"))
    return f"| {_cell(figure['name'])}{unit} | {_cell(contender)} | {spread} | {ratio} |"


def _machines(results: Sequence[Stored]) -> str:
    """Where it was measured; more than one line where results are of different days or machines."""
    places = {_machine(each): None for each in results}
    return "\n".join(["## Machine and versions\n", *(f"- {place}" for place in places)]) + "\n"


def _machine(result: Stored) -> str:
    machine = result["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in result["packages"].items())
    settings = ", ".join(
        f"`{name}={value}`" for name, value in result["postgresql"].items() if name != "server_version"
    )
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gb']:g} GB, {machine['filesystem']}, "
        f"{machine['system']}; Python {result['python']}, {packages}, librdkafka {result['librdkafka']}; "
        f"Apache Kafka {result['kafka']} (`acks={result['acks']}`), PostgreSQL "
        f"{result['postgresql']['server_version']} ({settings})"
    )


def _found(goal: Stored) -> str:
    return "nothing" if goal["found"] is None else _number(goal["found"])


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + "."


def _cell(words: str) -> str:
    """As a table needs it."""
    return words.replace("|", "\\|")
