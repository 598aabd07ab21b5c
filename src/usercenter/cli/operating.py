"""What the operators' commands share: which letters or tasks, who asks, and the parts with nothing running."""

import asyncio
import getpass
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from uuid import UUID

from cyclopts import Parameter, Token
from cyclopts.validators import Number

from usercenter.cli import WRONG_USAGE, candidates
from usercenter.cli.failures import CommandFailed, guess
from usercenter.cli.settings import of_running

if TYPE_CHECKING:
    from usercenter.bootstrap import Workshop
    from usercenter.messaging.operations.returns import Returns
    from usercenter.messaging.operations.selection import Action, Filter, Selection

T = TypeVar("T")

_NO_KEY: Final = (
    "tokens.private_key is not set, and what is done with users' work needs the service's own: name its file in "
    "USERCENTER_TOKENS__PRIVATE_KEY_FILE"
)
NOTHING_CHANGED: Final = "Nothing was changed: say --yes to do it."
_MOST_ROWS: Final = 1_000_000_000
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(_: Any, tokens: list[Token] | tuple[Token, ...]) -> datetime:
    """A moment as people type it: `2026-11-24T08:00`, UTC unless it says otherwise, or `90m`, `24h`, `7d` ago."""
    text = tokens[0].value
    try:
        if ago := re.fullmatch(r"(\d{1,6})([smhd])", text):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ValueError("write 2026-11-24T08:00+01:00, or 24h for a day ago") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]
Yes = Annotated[bool, Parameter(name="--yes", negative="", help="Do it.")]
All = Annotated[bool, Parameter(name="--all", negative="", help="All there are.")]
By = Annotated[str | None, Parameter(help="Who asks, for the record; kept beside the name of the OS user.")]
Reason = Annotated[str | None, Parameter(help="Why, for the record.")]
Frozen = Annotated[str | None, Parameter(name="--selection", help="The token of a dry run: exactly what it showed.")]
NUMBERED: Final = Number(gte=1, lte=2**63 - 1)
"""For the number of a row: PostgreSQL has no larger one, and would say so in its own words."""
Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=_MOST_ROWS), help="So many at most.")]
Unmasked = Annotated[bool, Parameter(negative="", help="With personal data; that somebody looked goes on record.")]
Moment = Annotated[datetime | None, Parameter(converter=moment)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Which:
    """Which letters or tasks; what is not given excludes nothing."""

    handler: Annotated[str | None, Parameter(completer=candidates.handlers, help="Of this handler.")] = None
    type: Annotated[str | None, Parameter(help="Of events of this type.")] = None
    user: Annotated[UUID | None, Parameter(help="Of this user.")] = None
    since: Annotated[Moment, Parameter(help="Not older: 2026-11-24T08:00, or 24h for a day ago.")] = None
    until: Annotated[Moment, Parameter(help="Older than this.")] = None
    cause: Annotated[
        str | None,
        Parameter(help="Of this cause, as `dead-letters causes` names it, or of this kind of error: OSError."),
    ] = None


def filter_of(which: Which | None, **more: Any) -> "Filter":
    """As the operations take it."""
    from usercenter.messaging.operations.selection import Filter

    return Filter(**vars(which or Which()), **more)


async def chosen(
    action: "Action",
    found: "Filter",
    token: str | None,
    freeze: "Callable[[Filter], Awaitable[Selection]]",
    *,
    is_all: bool = False,
) -> "Selection":
    """The selection of the token, or of the filter as of now. Raises CommandFailed, SelectionInvalid."""
    from usercenter.messaging.operations.selection import from_token

    if token is not None:
        if not found.is_empty:
            raise CommandFailed("a token says already which: leave the other options out", status=WRONG_USAGE)
        return from_token(token, action)
    if found.is_empty and not is_all:
        raise CommandFailed("say which: an id, --handler, --user, --cause … , or --all", status=WRONG_USAGE)
    return await freeze(found)


def work(path: Path | None, job: "Callable[[Workshop], Awaitable[T]]", *, about: "Filter | None" = None) -> T:
    """Do this with the parts of the configured service; it need not run.

    `about`: which letters or tasks, whose handler must be one that there is, or was. Raises CommandFailed.
    """

    async def run() -> T:
        from usercenter.bootstrap import workshop

        settings = of_running(path)
        if not settings.tokens.private_key:
            raise CommandFailed(_NO_KEY, status=WRONG_USAGE)
        async with workshop(settings) as parts:
            if about is not None and about.handler is not None:
                await _expect_handler(parts, about.handler)
            return await job(parts)

    return asyncio.run(run())


async def _expect_handler(parts: "Workshop", name: str) -> None:
    """For nothing found of a mistyped handler would look like all being well."""
    from usercenter.messaging.groups import RESERVED_NAMES, handlers_by_name
    from usercenter.messaging.operations import letter_queries

    wanted = name.partition("/")[0]
    known = sorted({*RESERVED_NAMES, *handlers_by_name(parts.groups)})
    if wanted in known:
        return
    async with parts.database.transaction() as tx:
        if await letter_queries.has_work_of(tx, wanted):  # an earlier configuration had it
            return
    meant = guess(wanted, known) or ";"
    raise CommandFailed(f"there is no handler {name!r}{meant} known are {', '.join(known)}", status=WRONG_USAGE)


def returns_of(parts: "Workshop") -> "Returns":
    """What gives letters back to the handlers of this configuration."""
    from usercenter.messaging.operations.returns import Returns

    return Returns(groups=parts.groups, registry=parts.registry, streams=parts.streams, context=parts.context)


def who(by: str | None) -> str:
    """Who asks: the OS user at this machine, and the name that was given, if one was."""
    user = f"{getpass.getuser()}@{socket.gethostname()}"
    return f"{by} ({user})" if by else user
