"""Many letters at once: which, what a dry run says of them, and what came of it."""

from typing import TYPE_CHECKING, Any, Final

import msgspec

from usercenter.cli import CHECK_FAILED, FINE
from usercenter.cli.failures import CommandFailed
from usercenter.cli.operating import chosen
from usercenter.cli.terminal import fitting, plain, say, show, show_json, show_table
from usercenter.messaging.operations import letter_queries, views
from usercenter.messaging.operations.letters import Refusal, Result
from usercenter.messaging.operations.selection import Action, Filter, Selection
from usercenter.messaging.operations.views import ShownCause

if TYPE_CHECKING:
    from usercenter.bootstrap import Workshop

_MOST_CAUSES: Final = 20
_ERROR_WIDTH: Final = 72


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done, and the token that means exactly that."""

    action: Action
    count: int
    causes: list[ShownCause]
    selection: str


async def choose(
    parts: "Workshop", action: Action, found: Filter, token: str | None, *, is_all: bool = False
) -> Selection:
    """The letters of the token, or those that the filter finds now. Raises CommandFailed, SelectionInvalid."""

    async def freeze(found: Filter) -> Selection:
        async with parts.database.transaction() as tx:
            return await letter_queries.freeze(tx, action, found)

    selection = await chosen(action, found, token, freeze, is_all=is_all)
    if found.id is not None and not selection.count:
        raise CommandFailed(f"letter {found.id} is not open: see `usercenter dead-letters show {found.id}`")
    return selection


async def dry_run(parts: "Workshop", selection: Selection) -> DryRun:
    """What this selection is about."""
    async with parts.database.transaction() as tx:
        found = await letter_queries.causes(tx, selection.filter, limit=_MOST_CAUSES, upper=selection.upper)
    return DryRun(
        action=selection.action,
        count=selection.count,
        causes=[views.cause(each) for each in found],
        selection=selection.token(),
    )


def tell(done: DryRun | Result, *, json: bool) -> int:
    """Print it; the exit status."""
    if json:
        show_json(done)
    elif isinstance(done, DryRun):
        _tell_dry_run(done)
    else:
        _tell_result(done)
    return CHECK_FAILED if isinstance(done, Result) and done.refused else FINE


def show_causes(found: list[ShownCause]) -> None:
    """Causes as a table."""
    rows: list[tuple[Any, ...]] = [
        (
            each.count,
            each.handler,
            each.cause,
            each.event_type,
            f"{each.first_at:%Y-%m-%d %H:%M}",
            f"{each.last_at:%Y-%m-%d %H:%M}",
            each.example,
            fitting(each.error, _ERROR_WIDTH),
        )
        for each in found
    ]
    show_table(("letters", "handler", "cause", "event", "first", "last", "example", "error"), rows)


def show_refused(refused: list[Refusal]) -> None:
    """Why letters stay."""
    for each in refused:
        show(f"{each.count} stay, letter {each.example} for one: {plain(each.reason)}")


def _tell_dry_run(run: DryRun) -> None:
    if not run.count:
        say(f"there is nothing to {run.action}")
        return
    show_causes(run.causes)
    show(f"selection: {run.selection}")
    say(f"{run.count} letters; nothing is done yet. To {run.action} exactly these:")
    more = ' --reason "…"' if run.action == "discard" else ""
    say(f"usercenter dead-letters {run.action} --selection {run.selection}{more} --yes")


def _tell_result(result: Result) -> None:
    show(f"{result.done} of {result.selected} done, operation {result.operation_id}")
    show_refused(result.refused)
    if result.gone:
        say(f"{result.gone} were settled by somebody else in the meantime")
