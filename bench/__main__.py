"""`python -m bench [MEASURE …]`: all measures, or those that are named."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import uvloop
from rich.console import Console

from bench import (
    batch,
    consume,
    crews,
    endurance,
    flames,
    growth,
    http,
    latency,
    machine,
    mail,
    outage,
    page,
    relay,
    report,
    start,
    tasks,
    tuning,
    webhooks,
)
from bench.ground import Grounds
from bench.measure import Measure, WorkNotDone, take
from bench.result import Result
from usercenter import garbage

T = TypeVar("T")

_ALL: Final = (
    relay.MEASURE,
    batch.MEASURE,
    consume.MEASURE,
    latency.MEASURE,
    tasks.MEASURE,
    mail.MEASURE,
    webhooks.MEASURE,
    http.MEASURE,
    start.MEASURE,
    outage.MEASURE,  # the last one: an outage has made librdkafka abort its process
)
_APART: Final = (crews.MEASURE, endurance.MEASURE, growth.MEASURE, tuning.MEASURE)
MEASURES: Final = {measure.name: measure for measure in (*_ALL, *_APART)}
_DATA: Final = Path(".usercenter")  # on the disk of the working tree; /tmp may be memory


def main() -> None:
    """Measure, print, write the results, and the page of all results that are kept."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "measures",
        nargs="*",
        metavar="MEASURE",
        help=f"any of {', '.join(MEASURES)}; none: all but {', '.join(each.name for each in _APART)}",
    )
    parser.add_argument(
        "--page", action="store_true", help="measure nothing: write docs/performance.md and its pictures"
    )
    parser.add_argument(
        "--flames", action="store_true", help="measure nothing: draw where relay, consumer and GET /me spend their time"
    )
    arguments = parser.parse_args()
    wanted = arguments.measures
    if unknown := sorted(set(wanted) - set(MEASURES)):
        parser.error(f"no such measure: {', '.join(unknown)}; choose of {', '.join(MEASURES)}")
    if arguments.page:
        _write_page()
        return
    if arguments.flames:
        _run_on_uvloop(_flames())
        return
    chosen = [MEASURES[name] for name in wanted] or list(_ALL)
    failed = _run_on_uvloop(_run(chosen))
    _write_page()
    if failed:
        sys.exit(f"without a result: {', '.join(failed)}")


def _run_on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    """Run it on the loop that the service has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _write_page() -> None:
    sys.stdout.write(f"written to {page.write(order=list(MEASURES))}\n")


async def _run(measures: Sequence[Measure]) -> list[str]:
    """Take each of them; returns the names of those whose work was not done."""
    console = Console(highlight=False)
    failed = []
    async with _grounds(console) as (grounds, folder):
        facts = await machine.facts(grounds, folder)
        for measure in measures:
            facts["machine"]["hash_ms"] = machine.hash_ms()  # each measure may meet another machine
            try:
                rounds, seconds = await take(measure, grounds, tell=console.print)
            except WorkNotDone as error:
                console.print(f"[bold red]{error}[/]")
                failed.append(measure.name)
                continue
            result = Result(measure=measure, rounds=rounds, seconds=seconds)
            report.show(result, console)
            console.print(f"written to {report.write(result, facts)}\n")
    return failed


async def _flames() -> None:
    console = Console(highlight=False)
    async with _grounds(console) as (grounds, _):
        await flames.draw(grounds, page.PICTURES, tell=console.print)


@asynccontextmanager
async def _grounds(console: Console) -> AsyncIterator[tuple[Grounds, Path]]:
    """The parts, and the folder with their data."""
    _DATA.mkdir(exist_ok=True, mode=0o701)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_DATA) as name:
        folder = Path(name)
        if machine.filesystem_of(folder) in {"tmpfs", "ramfs"}:
            console.print(f"[bold red]{folder} is in memory: durability costs nothing there, so do not quote this.[/]")
        async with Grounds.opened(folder, announce=console.print) as grounds:
            garbage.look_seldom()  # as the service does once it has started
            yield grounds, folder


if __name__ == "__main__":
    main()
