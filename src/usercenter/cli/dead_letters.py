"""`usercenter dead-letters`: looked at, retried, discarded. `redrive` is in `redrive.py`."""

from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from usercenter.cli import bulk
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
    filter_of,
    returns_of,
    who,
    work,
)
from usercenter.cli.settings import ConfigFile
from usercenter.cli.terminal import fitting, say, show_facts, show_json, show_table

if TYPE_CHECKING:
    from usercenter.bootstrap import Workshop
    from usercenter.cli.bulk import DryRun
    from usercenter.messaging.operations.letter_queries import Letter
    from usercenter.messaging.operations.letters import Result
    from usercenter.messaging.operations.selection import Filter
    from usercenter.messaging.operations.views import ShownCause

LetterId = Annotated[int, Parameter(validator=NUMBERED, help="The letter's number in the list.")]
_ERROR_WIDTH = 72


def list_(
    *,
    which: Which | None = None,
    all: Annotated[bool, Parameter(negative="", help="Also what was retried or discarded.")] = False,  # noqa: A002
    limit: Limit = 50,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """List dead letters, the latest first: those that nobody has settled."""
    from usercenter.messaging.operations import letter_queries, views

    about = filter_of(which)

    async def look(parts: "Workshop") -> list["Letter"]:
        async with parts.database.transaction() as tx:
            return await letter_queries.find(tx, about, is_open=not all, limit=limit)

    found = [views.letter(each) for each in work(config, look, about=about)]
    if json:
        show_json(found)
        return
    show_table(
        ("id", "died", "handler", "event", "user", "cause", "settled", "error"),
        [
            (each.id, f"{each.died_at:%Y-%m-%d %H:%M:%S}", each.handler, each.event_type, each.user_id, each.cause,
             each.settled_how or "-", fitting(each.error, _ERROR_WIDTH))
            for each in found
        ],
    )  # fmt: skip
    if len(found) == limit:
        say(f"there may be more than these {limit}: --limit")


def causes(*, which: Which | None = None, limit: Limit = 50, json: Json = False, config: ConfigFile = None) -> None:
    """Group the open letters by what they died of: handler, cause and type of event; the most frequent first."""
    about = filter_of(which)
    found = work(config, lambda parts: _causes(parts, about, limit=limit), about=about)
    if json:
        show_json(found)
    else:
        bulk.show_causes(found)


def show_letter(
    id: LetterId, /, *, unmasked: Unmasked = False, by: By = None, json: Json = False, config: ConfigFile = None
) -> None:
    """Show all that is known of one letter."""
    from usercenter.messaging.operations import audit, letter_queries, views

    async def look(parts: "Workshop") -> "Letter | None":
        async with parts.database.transaction() as tx:
            found = await letter_queries.one(tx, id)
            if found and unmasked:
                seen = await audit.begin(tx, kind="letters.show_unmasked", by=who(by), selection={"id": id})
                await audit.finish(tx, seen, "done")
            return found

    found = work(config, look)
    if found is None:
        raise CommandFailed(f"there is no letter {id}: see `usercenter dead-letters list --all`")
    shown = views.letter(found, is_masked=not unmasked)
    if json:
        show_json(shown)
    else:
        show_facts(msgspec.to_builtins(shown))


def retry(
    id: LetterId | None = None,
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
    """Make work of letters again, at their old place in their lanes; status 1 when some must stay.

    One letter by its number at once; many by options: without --yes it only says which, and prints a token that means
    exactly these.
    """
    from usercenter.messaging.operations import letters

    about = filter_of(which, id=id)

    async def do(parts: "Workshop") -> "DryRun | Result":
        found = await bulk.choose(parts, "retry", about, selection, is_all=all)
        if not yes and id is None:
            return await bulk.dry_run(parts, found)
        return await letters.retry(parts.database, found, returns=returns_of(parts), by=who(by), reason=reason)

    return bulk.tell(work(config, do, about=about), json=json)


def discard(
    id: LetterId | None = None,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why nobody needs them, for the record.")],
    which: Which | None = None,
    all: All = False,  # noqa: A002  # the option's name
    selection: Frozen = None,
    yes: Yes = False,
    by: By = None,
    json: Json = False,
    config: ConfigFile = None,
) -> int:
    """Put letters away for good, with the reason; they stay in the table. Without --yes it only says which."""
    from usercenter.messaging.operations import letters

    about = filter_of(which, id=id)

    async def do(parts: "Workshop") -> "DryRun | Result":
        found = await bulk.choose(parts, "discard", about, selection, is_all=all)
        if not yes:
            return await bulk.dry_run(parts, found)
        return await letters.discard(parts.database, found, by=who(by), reason=reason)

    return bulk.tell(work(config, do, about=about), json=json)


async def _causes(parts: "Workshop", found: "Filter", *, limit: int) -> list["ShownCause"]:
    from usercenter.messaging.operations import letter_queries, views

    async with parts.database.transaction() as tx:
        return [views.cause(each) for each in await letter_queries.causes(tx, found, limit=limit)]
