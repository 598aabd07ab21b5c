"""One frame of `usercenter top`, as large as the terminal."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from usercenter.cli.terminal import plain, short
from usercenter.messaging.operations.pulse import Pulse, Work

_STRIP_LINES: Final = 11
"""What is there in any case: heading, strip, the heads of both tables, the line of the keys."""

_BREAKERS_AT_MOST: Final = 4


def frame(pulse: Pulse, rates: Mapping[str, float | None], *, height: int, keys: str = "") -> RenderableType:
    """What is seen; the rows that do not fit are counted. `keys`: what may be pressed."""
    spare = height - _STRIP_LINES - len(pulse.stops) - len(pulse.behind)
    breakers = _breakers(pulse, at_most=max(0, min(_BREAKERS_AT_MOST, spare - 2)))
    room = max(1, spare - len(breakers))
    return Group(
        _heading(pulse),
        _strip(pulse, rates),
        _groups(pulse),
        _handlers(pulse.work[:room], pulse.at),
        *([Text(f"… and {len(pulse.work) - room} more handlers", style="dim")] if len(pulse.work) > room else []),
        *(_stop(name, reason) for name, reason in pulse.stops),
        *breakers,
        *([Text(keys, style="dim")] if keys else []),
    )


def _heading(pulse: Pulse) -> Text:
    relays, workers = (pulse.processes.get(kind, 0) for kind in ("relay", "tasks"))
    text = Text(f"usercenter  {pulse.at:%H:%M:%S}  ", style="bold")
    return text.append(f"relays {relays}  workers {workers}", style="" if relays and workers else "bold red")


def _strip(pulse: Pulse, rates: Mapping[str, float | None]) -> Table:
    """Where things lie, left to right as they flow, and below it how many pass."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
    for name in ("committed", "outbox", "→ Kafka", "→ inbox", "tasks", "dead letters"):
        table.add_column(name, justify="right", no_wrap=True)
    age = f"{pulse.outbox:,} ({seconds(pulse.outbox_seconds)})" if pulse.outbox else "0"
    table.add_row("", age, "", "", f"{pulse.tasks:,}", _alarm(pulse.dead))
    begun, ended = (_rate(rates[name]) for name in ("begun", "ended"))
    shown = [_rate(rates[name]) for name in ("committed", "sent", "handled")]
    table.add_row(shown[0], "", shown[1], shown[2], f"+{begun} −{ended}", _rate(rates["died"]))
    return table


def _groups(pulse: Pulse) -> Table:
    """Lags are as of the last look of a worker, and the title says how long ago that was."""
    looked = f"lag, {seconds((pulse.at - pulse.lags_at).total_seconds())} ago" if pulse.lags_at else "lag"
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
    table.add_column("group", no_wrap=True, ratio=1)
    for name in (looked, "time behind"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in pulse.behind:
        lag = "unknown" if each.lag is None else f"{each.lag:,}"
        shown = "unknown" if each.seconds is None else seconds(each.seconds)
        table.add_row(plain(each.group), lag, Text(shown, style=_style(each.seconds)))
    return table


def _handlers(work: Sequence[Work], now: datetime) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
    table.add_column("handler", no_wrap=True, ratio=1)
    for name in ("waiting", "trying", "parked", "dead", "behind", "next try"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in work:
        behind = (now - each.oldest_at).total_seconds() if each.oldest_at else 0.0
        next_in = seconds((each.next_at - now).total_seconds()) if each.next_at else ""
        numbers = (f"{each.waiting:,}", f"{each.trying:,}", f"{each.parked:,}")
        table.add_row(
            plain(each.handler), *numbers, _alarm(each.dead), Text(seconds(behind), style=_style(behind)), next_in
        )
    return table


def _stop(name: str, reason: str) -> Text:
    return Text(
        f"stopped: {short(name, 40)}: {short(reason, 200)}", style="bold red", no_wrap=True, overflow="ellipsis"
    )


def _breakers(pulse: Pulse, *, at_most: int) -> list[Text]:
    """A line for each open breaker of each process; those that would be too many are counted."""
    found = [(told.process, each) for told in pulse.breakers for each in told.breakers]
    lines = []
    for process, each in found[:at_most]:
        since = seconds((pulse.at - each.since).total_seconds())
        wait = (each.next_try_at - pulse.at).total_seconds()
        due = f"next try in {seconds(wait)}" if wait > 0 else "being tried"
        says = f"left alone: {short(each.handler, 40)} for {since}, {due} ({short(process, 40)})"
        lines.append(Text(says, style="yellow", no_wrap=True, overflow="ellipsis"))
    if len(found) > len(lines):
        lines.append(Text(f"… and {len(found) - len(lines)} more left alone", style="dim"))
    return lines


def seconds(value: float) -> str:
    """As people say it: `0.4 s`, `3 min`, `2 h`."""
    value = max(0.0, value)
    if value < 100:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 6_000 else f"{value / 3_600:.0f} h"


def _rate(value: float | None) -> str:
    return "…/s" if value is None else f"{value:,.0f}/s"


def _alarm(number: int) -> Text:
    return Text(f"{number:,}", style="bold red" if number else "")


def _style(behind: float | None) -> str:
    if behind is None or behind > 60:
        return "bold red"
    return "yellow" if behind > 5 else "green"
