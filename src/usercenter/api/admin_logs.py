"""`/api/v1/admin/users/{id}/…`: what is kept about one user, for admins and auditors; also after a deletion."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.params import FromPath, QueryParameter

from usercenter.api.access import require_role
from usercenter.api.admin_views import LoginPage, Timeline, scope_of
from usercenter.api.cursors import Cursor, Cursors
from usercenter.api.description import LARGEST
from usercenter.api.logins import LoginView
from usercenter.api.problems import errors
from usercenter.api.security_log import SecurityLog, page
from usercenter.api.services import ApiRequest, OurServices
from usercenter.users import logins, security_log, timeline

_BEARER: Final[list[dict[str, list[str]]]] = [{"bearer": []}]
_ERRORS: Final = errors(400, 401, 403, 404, 503)


class _Position(msgspec.Struct, frozen=True):
    """The last line of a page."""

    at: datetime
    id: UUID


Size = Annotated[int, QueryParameter(ge=1, le=100)]


class AdminLogController(Controller):
    """The logs of one user."""

    path = "/api/v1/admin/users/{user_id:uuid}"
    tags = ("admin",)
    security = _BEARER

    @get("/security-log", operation_id="adminSecurityLog", responses=_ERRORS)
    async def security_log(
        self,
        request: ApiRequest,
        services: OurServices,
        user_id: FromPath[UUID],
        limit: Size = 20,
        cursor: Cursor = None,
    ) -> SecurityLog:
        """What happened to the keys of the account, newest first."""
        await require_role(request, services, "auditor")
        cursors, scope = Cursors(services.tokens.derive_key), scope_of(user_id, "security log")
        before = cursors.read(cursor, _Position, scope=scope) if cursor is not None else None
        async with services.database.transaction() as tx:
            found = await security_log.page_of(
                tx, user_id, before=(before.at, before.id) if before else None, limit=limit + 1
            )
        last = found[limit - 1] if len(found) > limit else None
        more = cursors.write(_Position(last.happened_at, last.event_id), scope=scope) if last else None
        return SecurityLog(page(found, limit).entries, more)

    @get("/logins", operation_id="adminLogins", responses=_ERRORS)
    async def logins(
        self,
        request: ApiRequest,
        services: OurServices,
        user_id: FromPath[UUID],
        limit: Size = 20,
        cursor: Cursor = None,
    ) -> LoginPage:
        """When, from where and with what the user logged in, newest first, and what was strange about it."""
        await require_role(request, services, "auditor")
        cursors, scope = Cursors(services.tokens.derive_key), scope_of(user_id, "logins")
        before = cursors.read(cursor, _Position, scope=scope) if cursor is not None else None
        async with services.database.transaction() as tx:
            found = await logins.page_of(
                tx, user_id, before=(before.at, before.id) if before else None, limit=limit + 1
            )
        last = found[limit - 1] if len(found) > limit else None
        more = cursors.write(_Position(last.logged_in_at, last.event_id), scope=scope) if last else None
        return LoginPage(logins=[LoginView.of(entry) for entry in found[:limit]], next_cursor=more)

    @get("/events", operation_id="adminEvents", responses=_ERRORS)
    async def events(
        self,
        request: ApiRequest,
        services: OurServices,
        user_id: FromPath[UUID],
        limit: Size = 20,
        before: Annotated[int | None, QueryParameter(ge=1, le=LARGEST, required=False)] = None,
    ) -> Timeline:
        """Every event of the user, newest first. Auditors see which and when; personal data is masked for them."""
        who = await require_role(request, services, "auditor")
        is_masked = not who.is_at_least("admin")
        async with services.database.transaction() as tx:
            found = await timeline.events_of(tx, user_id, before=before, limit=limit + 1)
        shown = [timeline.masked(entry) if is_masked else entry for entry in found[:limit]]
        more = shown[-1].sequence if len(found) > limit else None
        return Timeline(events=shown, is_masked=is_masked, next_before=more)
