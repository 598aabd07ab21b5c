"""`usercenter tasks`: work that waits or is parked, looked at, and called before its time."""

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import Parameter

from usercenter.cli import CHECK_FAILED, FINE
from usercenter.cli.failures import CommandFailed
from usercenter.cli.operating import (
    NUMBERED,
    All,
    By,
    Frozen,
    Json,
    Limit,
    Reason,
    Unmasked,
    Which,
    Yes,
    chosen,
    filter_of,
    who,
    work,
)
from usercenter.cli.settings import ConfigFile
from usercenter.cli.terminal import fitting, say, show, show_facts, show_json, show_table

if TYPE_CHECKING:
    from usercenter.bootstrap import Workshop
    from usercenter.messaging.operations.selection import Filter, Selection
    from usercenter.messaging.operations.task_queries import TaskRow

Position = Annotated[int, Parameter(validator=NUMBERED, help="The task's number in the list.")]
_ERROR_WIDTH = 72


def list_(
    *,
    which: Which | None = None,
    state: Annotated[
        Literal["waiting", "parked"] | None,
        Parameter(help="Parked: it failed, or is behind one that did, or its time has not come."),
    ] = None,
    limit: Limit = 50,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """List tasks, those whose time comes first at the top."""
    from usercenter.messaging.operations import task_queries, views

    about = filter_of(which, state=state)

    async def look(parts: "Workshop") -> "list[TaskRow]":
        async with parts.database.transaction() as tx:
            return await task_queries.find(tx, about, limit=limit)

    found = [views.task(each) for each in work(config, look, about=about)]
    if json:
        show_json(found)
        return
    show_table(
        ("position", "state", "handler", "event", "user", "attempts", "next", "error"),
        [
            (
                each.position,
                each.state,
                each.handler,
                each.event_type,
                each.user_id,
                each.attempts,
                f"{each.next_attempt_at:%Y-%m-%d %H:%M:%S}",
                fitting(each.error or "", _ERROR_WIDTH),
            )
            for each in found
        ],
    )
    if len(found) == limit:
        say(f"there may be more than these {limit}: --limit")


def show_task(
    position: Position, /, *, unmasked: Unmasked = False, by: By = None, json: Json = False, config: ConfigFile = None
) -> None:
    """Show all that is known of one task."""
    from usercenter.messaging.operations import audit, task_queries, views

    async def look(parts: "Workshop") -> "TaskRow | None":
        async with parts.database.transaction() as tx:
            found = await task_queries.one(tx, position)
            if found and unmasked:
                seen = await audit.begin(tx, kind="tasks.show_unmasked", by=who(by), selection={"id": position})
                await audit.finish(tx, seen, "done")
            return found

    found = work(config, look)
    if found is None:
        raise CommandFailed(f"there is no task {position}: it is done, or a dead letter by now")
    shown = views.task(found, is_masked=not unmasked)
    if json:
        show_json(shown)
    else:
        show_facts(msgspec.to_builtins(shown))


def retry_now(
    position: Position | None = None,
    /,
    *,
    which: Which | None = None,
    all: All = False,  # noqa: A002  # the option's name
    selection: Frozen = None,
    yes: Yes = False,
    reason: Reason = None,
    by: By = None,
    json: Json = False,
    config: ConfigFile = None,
) -> int:
    """Let parked tasks come due now, each with all that waits behind it in its lane.

    One by its number at once; many by options: without --yes it only says how many, and prints a token that means
    exactly these.
    """
    from usercenter.messaging.operations import tasks

    about = filter_of(which, id=position)

    async def do(parts: "Workshop") -> "tuple[Selection, int | None]":
        found = await _choose(parts, about, selection, is_all=all)
        if not yes and position is None:
            return found, None
        return found, await tasks.retry_now(parts.database, found, by=who(by), reason=reason)

    found, called = work(config, do, about=about)
    if json:
        show_json({"lanes": found.count, "called": called, "selection": found.token()})
    elif called is None:
        _tell_dry_run(found)
    else:
        show(f"{called} of {found.count} lanes come due now")
    return CHECK_FAILED if position is not None and not called else FINE


def _tell_dry_run(found: "Selection") -> None:
    if not found.count:
        say("no lane is parked: there is nothing to call")
        return
    show(f"selection: {found.token()}")
    say(f"{found.count} lanes are parked; nothing is done yet. To call exactly these:")
    say(f"usercenter tasks retry-now --selection {found.token()} --yes")


async def _choose(parts: "Workshop", found: "Filter", token: str | None, *, is_all: bool) -> "Selection":
    from usercenter.messaging.operations import task_queries

    async def freeze(found: "Filter") -> "Selection":
        async with parts.database.transaction() as tx:
            return await task_queries.freeze(tx, found)

    selection = await chosen("retry-now", found, token, freeze, is_all=is_all)
    if found.id is not None and not selection.count:
        raise CommandFailed(f"task {found.id} is not parked: see `usercenter tasks show {found.id}`")
    return selection
