"""`/api/v1/users/me/logins`: the owner's own login log."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from litestar import Controller, get

from usercenter.api.access import caller
from usercenter.api.cursors import Cursor
from usercenter.api.injection import ApiRequest, OurServices
from usercenter.api.log_pages import Size, log_page
from usercenter.api.problems import errors
from usercenter.api.services import Services
from usercenter.users import logins
from usercenter.users.logins import Entry


class Reason(msgspec.Struct, frozen=True):
    """What was strange: the rule's name for programs, a sentence for people."""

    rule: str
    words: str


class LoginView(msgspec.Struct, frozen=True, kw_only=True):
    """One login."""

    id: UUID
    logged_in_at: datetime
    ip_address: str | None
    device: str | None
    """In words: `Chrome 140 on Windows`."""
    country: str | None
    """ISO 3166-1, two letters; null without a GeoIP file."""
    verdict: Literal["ordinary", "suspicious"]
    reasons: list[Reason]

    @classmethod
    def of(cls, entry: Entry) -> "LoginView":
        """The view of a line of the log."""
        return cls(
            id=entry.event_id,
            logged_in_at=entry.logged_in_at,
            ip_address=entry.ip_address,
            device=entry.device,
            country=entry.country,
            verdict="suspicious" if entry.verdict == "suspicious" else "ordinary",
            reasons=[Reason(finding.rule, finding.words) for finding in entry.reasons],
        )


class Logins(msgspec.Struct, frozen=True):
    """A page of logins, newest first."""

    logins: list[LoginView]
    next_cursor: str | None
    """Give it as `cursor` for the next page; null on the last one."""


class LoginController(Controller):
    """What an account's owner sees of logins."""

    path = "/api/v1/users/me/logins"
    tags = ("users",)

    @get("/", operation_id="listMyLogins", responses=errors(400, 401, 503), security=[{"bearer": []}])
    async def my_logins(
        self,
        request: ApiRequest,
        services: OurServices,
        limit: Size = 20,
        cursor: Cursor = None,
    ) -> Logins:
        """When, from where and with what the caller logged in, newest first, and what was strange about it."""
        me = await caller(request, services)
        return await logins_page(services, me.user.id, cursor=cursor, limit=limit)


async def logins_page(services: Services, user_id: UUID, *, cursor: str | None, limit: int) -> Logins:
    """A page of the login log of a user. Raises InvalidFields."""
    found, more = await log_page(
        services, logins.page_of, user_id, name="logins", at=_moment, cursor=cursor, limit=limit
    )
    return Logins([LoginView.of(entry) for entry in found], more)


def _moment(entry: Entry) -> datetime:
    return entry.logged_in_at
