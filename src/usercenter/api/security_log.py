"""`/api/v1/users/me/security-log`: what happened to the keys of the account."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.params import QueryParameter

from usercenter.api.access import caller
from usercenter.api.cursors import Cursor, moment_cursor, moment_position
from usercenter.api.problems import errors
from usercenter.api.services import ApiRequest, OurServices
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
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
        cursor: Cursor = None,
    ) -> SecurityLog:
        """When the account's keys were changed, from where and by whom, newest first."""
        before = moment_position(cursor) if cursor is not None else None
        me = await caller(request, services)
        async with services.database.transaction() as tx:
            found = await security_log.page_of(tx, me.user.id, before=before, limit=limit + 1)
        return page(found, limit)


def page(found: list[Entry], limit: int) -> SecurityLog:
    """The first `limit` of the entries that were found, with a cursor if there are more."""
    shown = [
        SecurityEntry(
            id=entry.event_id,
            happened_at=entry.happened_at,
            kind=entry.kind,
            ip_address=entry.ip_address,
            actor=entry.details.get("actor"),
        )
        for entry in found[:limit]
    ]
    more = moment_cursor(shown[-1].happened_at, shown[-1].id) if len(found) > limit else None
    return SecurityLog(shown, more)
