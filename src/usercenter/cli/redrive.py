"""`usercenter dead-letters redrive`: first what it would do, then a canary, then the rest at a rate."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from usercenter.cli import CHECK_FAILED, FINE, bulk
from usercenter.cli.operating import By, Frozen, Json, Reason, Which, Yes, filter_of, returns_of, who, work
from usercenter.cli.settings import ConfigFile
from usercenter.cli.terminal import say, show, show_json, show_table

if TYPE_CHECKING:
    from usercenter.bootstrap import Workshop
    from usercenter.messaging.operations.outcomes import State
    from usercenter.messaging.operations.preview import Forecast
    from usercenter.messaging.operations.redrive import Plan, Progress
    from usercenter.messaging.operations.selection import Filter, Selection

_INTERRUPTED: Final = 130
_PHASES: Final = {"canary": "canary", "rest": "the rest", "ends": "waiting for the last", "over": "over"}
_STATES: "Final[dict[State, str]]" = {
    "passed": "passed",
    "failing": "failed again, and will be tried again",
    "dead": "are dead letters again",
    "held": "wait behind one that failed",
    "waiting": "wait for their turn",
}


def redrive(
    *,
    preview: Annotated[bool, Parameter(negative="", help="Try it with today's code and take everything back.")] = False,
    rate: Annotated[float, Parameter(validator=Number(gt=0), help="Letters a second, after the canary.")] = 50.0,
    canary: Annotated[int, Parameter(validator=Number(gte=0), help="So many first; their end is waited for.")] = 10,
    stop_at: Annotated[
        float, Parameter(validator=Number(gte=0, lte=100), help="Stop at more failures: percent.")
    ] = 5.0,
    patience: Annotated[float, Parameter(validator=Number(gt=0), help="Seconds to wait for a worker.")] = 300.0,
    which: Which | None = None,
    selection: Frozen = None,
    yes: Yes = False,
    reason: Reason = None,
    by: By = None,
    json: Json = False,
    config: ConfigFile = None,
) -> int:
    """Make work of many letters again, carefully; all that are open unless options say which.

    With --preview it tries today's handlers in transactions that are rolled back, and says what would come of each
    letter; status 1 when some would fail or must stay. With --yes it gives back the canary, then the rest, and stops
    when too many fail again: status 1. Ctrl-C stops it; run it again to go on.
    """
    found = filter_of(which)
    if preview:
        return _preview(config, found, selection, json=json)
    if not yes:
        return _dry_run(config, found, selection, json=json)
    from usercenter.messaging.operations.redrive import Plan

    plan = Plan(rate=rate, canary=canary, stop_at_percent=stop_at, patience_seconds=patience)
    return _redrive(config, found, selection, plan, by=who(by), reason=reason, json=json)


def _redrive(
    config: Path | None, found: "Filter", token: str | None, plan: "Plan", *, by: str, reason: str | None, json: bool
) -> int:
    from usercenter.messaging.operations.redrive import Redrive

    begun: list[Redrive] = []

    async def do(parts: "Workshop") -> "Progress":
        selection = await bulk.choose(parts, "redrive", found, token, is_all=True)
        with _bar() as tell:
            begun.append(Redrive(parts.database, returns=returns_of(parts), plan=plan, tell=tell))
            return await begun[0].run(selection, by=by, reason=reason)

    try:
        progress = work(config, do, about=found)
    except KeyboardInterrupt:
        if begun:
            _tell(begun[0].progress, json=json)
        say("interrupted: what was given back stays work; run it again to go on with the rest")
        return _INTERRUPTED
    _tell(progress, json=json)
    return CHECK_FAILED if progress.stopped_because or progress.refused else FINE


def _dry_run(config: Path | None, found: "Filter", token: str | None, *, json: bool) -> int:
    async def look(parts: "Workshop") -> bulk.DryRun:
        return await bulk.dry_run(parts, await bulk.choose(parts, "redrive", found, token, is_all=True))

    return bulk.tell(work(config, look, about=found), json=json)


def _preview(config: Path | None, found: "Filter", token: str | None, *, json: bool) -> int:
    from usercenter.messaging.operations.preview import preview

    async def look(parts: "Workshop") -> tuple["Selection", "Forecast"]:
        selection = await bulk.choose(parts, "redrive", found, token, is_all=True)
        return selection, await preview(parts.database, selection, returns=returns_of(parts))

    selection, forecast = work(config, look, about=found)
    if json:
        show_json({"forecast": forecast, "selection": selection.token()})
    else:
        _tell_forecast(forecast, selection)
    return CHECK_FAILED if forecast.still_fails or forecast.refused else FINE


def _tell_forecast(forecast: "Forecast", selection: "Selection") -> None:
    meanings = (
        (forecast.passes, "would pass: their handler ran, and was taken back"),
        (forecast.applied, "have had their effect already: nothing would change"),
        (forecast.called, "would be called: what is outside cannot be tried"),
        (forecast.sent, "would be sent to Kafka again"),
        (sum(each.count for each in forecast.still_fails), "would fail again"),
        (sum(each.count for each in forecast.refused), "must stay"),
    )
    show(f"{forecast.looked_at:>7}  letters")
    for number, meaning in meanings:
        if number:
            show(f"{number:>7}  {meaning}")
    show_table(
        ("fail", "handler", "event", "example", "error"),
        [(each.count, each.handler, each.event_type, each.example, each.error) for each in forecast.still_fails],
    )
    bulk.show_refused(forecast.refused)
    if not selection.count:
        say("there is nothing to redrive")
        return
    show(f"selection: {selection.token()}")
    say("nothing was changed. To redrive exactly these:")
    say(f"usercenter dead-letters redrive --selection {selection.token()} --yes")


def _tell(progress: "Progress", *, json: bool) -> None:
    if json:
        show_json(progress)
        return
    show(f"{progress.given_back} of {progress.selected} letters given back")
    for state, meaning in _STATES.items():
        if number := progress.states[state]:
            show(f"{number:>7}  {meaning}")
    bulk.show_refused(progress.refused)
    if progress.stopped_because:
        say(f"stopped: {progress.stopped_because}; the others are open as before")


@contextmanager
def _bar() -> "Iterator[Callable[[Progress], None]]":
    """How far it is, on stderr: a bar on a terminal, a line for each phase elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    told: set[str] = set()
    with Bar(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("canary", total=None)

        def tell(progress: "Progress") -> None:
            failed = progress.states["failing"] + progress.states["dead"]
            words = f"{_PHASES[progress.phase]}: {progress.states['passed']} passed, {failed} failed again"
            bar.update(task, description=words, total=progress.selected, completed=progress.given_back)
            if bar.disable and progress.phase not in told:
                told.add(progress.phase)
                say(f"{words}, {progress.given_back} of {progress.selected} given back")

        yield tell
