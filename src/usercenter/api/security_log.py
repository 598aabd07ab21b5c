"""`/api/v1/users/me/security-log`: what happened to the keys of the account."""

from datetime import datetime
from uuid import UUID

import msgspec
from litestar import Controller, get

from usercenter.api.access import caller
from usercenter.api.cursors import Cursor
from usercenter.api.injection import ApiRequest, OurServices
from usercenter.api.log_pages import Size, log_page
from usercenter.api.problems import errors
from usercenter.api.services import Services
from usercenter.users import security_log
from usercenter.users.security_log import Entry


class SecurityEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    id: UUID
    happened_at: datetime
    kind: str
    """The type of the event: `user.password_changed`."""
    ip_address: str | None
    actor: str | None
    """Who did it: a user's id, or `system`."""

    @classmethod
    def of(cls, entry: Entry) -> "SecurityEntry":
        """The view of a line of the log."""
        return cls(
            id=entry.event_id,
            happened_at=entry.happened_at,
            kind=entry.kind,
            ip_address=entry.ip_address,
            actor=entry.details.get("actor"),
        )


class SecurityLog(msgspec.Struct, frozen=True):
    """A page of the log, newest first."""

    entries: list[SecurityEntry]
    next_cursor: str | None
    """Give it as `cursor` for the next page; null on the last one."""


class SecurityLogController(Controller):
    """What an owner sees of the security log."""

    path = "/api/v1/users/me/security-log"
    tags = ("me",)

    @get("/", operation_id="mySecurityLog", responses=errors(400, 401, 503), security=[{"bearer": []}])
    async def my_security_log(
        self,
        request: ApiRequest,
        services: OurServices,
        limit: Size = 20,
        cursor: Cursor = None,
    ) -> SecurityLog:
        """When the account's keys were changed, from where and by whom, newest first."""
        me = await caller(request, services)
        return await security_page(services, me.user.id, cursor=cursor, limit=limit)


async def security_page(services: Services, user_id: UUID, *, cursor: str | None, limit: int) -> SecurityLog:
    """A page of the security log of a user. Raises InvalidFields."""
    found, more = await log_page(
        services, security_log.page_of, user_id, name="security log", at=_moment, cursor=cursor, limit=limit
    )
    return SecurityLog([SecurityEntry.of(entry) for entry in found], more)


def _moment(entry: Entry) -> datetime:
    return entry.happened_at
