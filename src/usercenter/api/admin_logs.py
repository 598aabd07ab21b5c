"""`/api/v1/admin/users/{id}/…`: what is kept about one user, for admins and auditors; also after a deletion."""

from typing import Annotated, Final
from uuid import UUID

from litestar import Controller, get
from litestar.params import FromPath, QueryParameter

from usercenter.api.access import require_role
from usercenter.api.admin_views import Timeline
from usercenter.api.cursors import Cursor
from usercenter.api.description import LARGEST
from usercenter.api.injection import ApiRequest, OurServices
from usercenter.api.log_pages import Size
from usercenter.api.logins import Logins, logins_page
from usercenter.api.problems import errors
from usercenter.api.security_log import SecurityLog, security_page
from usercenter.users import timeline

_BEARER: Final[list[dict[str, list[str]]]] = [{"bearer": []}]
_ERRORS: Final = errors(400, 401, 403, 404, 503)


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
        return await security_page(services, user_id, cursor=cursor, limit=limit)

    @get("/logins", operation_id="adminLogins", responses=_ERRORS)
    async def logins(
        self,
        request: ApiRequest,
        services: OurServices,
        user_id: FromPath[UUID],
        limit: Size = 20,
        cursor: Cursor = None,
    ) -> Logins:
        """When, from where and with what the user logged in, newest first, and what was strange about it."""
        await require_role(request, services, "auditor")
        return await logins_page(services, user_id, cursor=cursor, limit=limit)

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
