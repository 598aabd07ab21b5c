"""What goes in and out of `/api/v1/admin`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from litestar.params import FromQuery, QueryParameter

from usercenter.api.moments import moment_of, moment_parameter
from usercenter.api.reading import NO_NUL, Request, text
from usercenter.api.views import UserView
from usercenter.config.model import Accounts
from usercenter.users.directory import Search
from usercenter.users.errors import InvalidFields, Problem
from usercenter.users.import_queries import Import, Refusal
from usercenter.users.model import Role, Status
from usercenter.users.statistics import Point, Step
from usercenter.users.timeline import Entry

_LONGEST_REASON = 500
_LONGEST_PREFIX = 254
Prefix = Annotated[
    str | None,
    QueryParameter(min_length=1, max_length=_LONGEST_PREFIX, required=False, schema_extra={"pattern": r"^[^\x00]*$"}),
]


class StatusChange(Request, frozen=True, kw_only=True):
    """Another status, and why: the user is told the reason."""

    status: Literal["active", "inactive", "suspended"]
    reason: Annotated[str | None, text("Why.", max_length=_LONGEST_REASON, pattern=NO_NUL)] = None

    @classmethod
    def problems(cls, values: Mapping[str, Any], accounts: Accounts) -> list[Problem]:
        del accounts
        reason = values.get("reason") or ""
        if len(reason) > _LONGEST_REASON or "\x00" in reason:
            return [Problem("reason", "length", f"at most {_LONGEST_REASON} characters, without U+0000")]
        return []


class RoleChange(Request, frozen=True, kw_only=True):
    """Another role."""

    role: Role


class UserPage(msgspec.Struct, kw_only=True):
    """Users in the order that was asked for."""

    users: list[UserView]
    next_cursor: str | None
    """Give it as `cursor`, with the same filters and order, for the next page; null on the last one."""
    total: int | None
    """How many there are in all; null unless `total=true`, for it costs a look at each of them."""


class Timeline(msgspec.Struct, kw_only=True):
    """Events of one user, newest first."""

    events: list[Entry]
    is_masked: bool
    """Whether personal data is hidden: it is from auditors."""
    next_before: int | None
    """Give it as `before` for the next page; null on the last one."""


class ImportView(msgspec.Struct, kw_only=True):
    """How far an import is, and which lines made no account."""

    progress: Import
    errors: list[Refusal]
    """At most 1000; ask for the next ones with `after_line`."""


class Series(msgspec.Struct, kw_only=True):
    """A metric over time."""

    metric: str
    step: Step
    time_zone: str
    """Where days begin at midnight."""
    points: list[Point]


def search_of(  # noqa: PLR0917  # the framework passes them by name
    status: FromQuery[Status | None] = None,
    role: FromQuery[Role | None] = None,
    created_from: Annotated[str | None, moment_parameter("Inclusive; UTC where it names no zone")] = None,
    created_to: Annotated[str | None, moment_parameter("Exclusive; UTC where it names no zone")] = None,
    username: Prefix = None,
    email: Prefix = None,
    q: Prefix = None,
) -> Search:
    """The filters of a list, from its query. Raises InvalidFields."""
    texts = {"username": username, "email": email, "q": q}
    problems = [
        Problem(name, "character", "the character U+0000 is not allowed")
        for name, text in texts.items()
        if text and "\x00" in text
    ]
    if problems:
        raise InvalidFields(problems)
    return Search(
        status=status,
        role=role,
        created_from=moment_of("created_from", created_from) if created_from is not None else None,
        created_to=moment_of("created_to", created_to) if created_to is not None else None,
        **texts,
    )
