"""`usercenter verify`."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from usercenter.cli import CHECK_FAILED, FINE
from usercenter.cli.operating import Json
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import plain, plain_lines, say, show, show_json

if TYPE_CHECKING:
    from usercenter.config import Config
    from usercenter.messaging.operations.report import Book, Finding, Report

_COLUMNS: Final = ("committed", "handled", "waiting", "parked", "dead", "missing")


def verify(
    *,
    json: Json = False,
    user: Annotated[UUID | None, Parameter(help="Only what concerns this user.")] = None,
    kafka: Annotated[
        bool | None, Parameter(help="Read all of user.events too; with --no-kafka ask the brokers nothing.")
    ] = None,
    stuck_after: Annotated[
        float,
        Parameter(validator=Number(gte=0), help="Seconds that work may lie undone before it counts as stuck."),
    ] = 300,
    config: ConfigFile = None,
) -> int:
    """See whether all is well: nothing lost, invented, out of order, without effect or stuck; status 1 when not.

    Changes nothing, and may be run at any time. What is committed meanwhile is no false alarm.
    """
    report = asyncio.run(_look(of_running(config), kafka=kafka, user_id=user, stuck_after_seconds=stuck_after))
    if json:
        show_json(_whole(report))
    else:
        _show(report)
    return FINE if report.is_fine else CHECK_FAILED


async def _look(config: "Config", *, kafka: bool | None, user_id: UUID | None, stuck_after_seconds: float) -> "Report":
    from usercenter.bootstrap import reactions_of
    from usercenter.db import Database
    from usercenter.events import Registry
    from usercenter.messaging.operations.verify import verify as look

    events, every_group = reactions_of(config)
    database = Database(config.database)
    await database.open()
    try:
        return await look(
            config,
            database=database,
            groups=every_group,
            registry=Registry(events),
            stuck_after_seconds=stuck_after_seconds,
            reads_kafka=kafka is not False,
            reads_whole_topic=kafka is True,
            user_id=user_id,
        )
    finally:
        await database.close()


def _whole(report: "Report") -> dict[str, object]:
    return {"is_fine": report.is_fine, **msgspec.structs.asdict(report)}


def _show(report: "Report") -> None:
    width = max([len("group"), *(len(book.group) for book in report.books)])
    show(f"{'group':<{width}}" + "".join(f"  {name:>10}" for name in _COLUMNS))
    for book in report.books:
        show(plain(f"{book.group:<{width}}" + _numbers(book)))
    for finding in report.findings:
        show("\n" + plain_lines(_lines(finding)))
    for note in report.notes:
        say(f"not looked at: {note}")
    say("all is well" if report.is_fine else f"{len(report.findings)} findings")


def _numbers(book: "Book") -> str:
    return "".join(f"  {getattr(book, name):>10}" for name in _COLUMNS)


def _lines(finding: "Finding") -> str:
    rest = finding.count - len(finding.examples)
    examples = [*finding.examples, f"and {rest} more"] if rest > 0 and finding.examples else finding.examples
    lines = [f"{finding.invariant}: {finding.count} {finding.what}", *(f"    {each}" for each in examples)]
    return "\n".join([*lines, f"  next: {finding.next_step}"])
