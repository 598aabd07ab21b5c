"""`/api/v1/admin/users`: admins change users, auditors look on. The list is at `/api/v1/users` too."""

from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, patch, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from usercenter.api.access import require_role
from usercenter.api.admin_views import RoleChange, StatusChange, UserPage, search_of
from usercenter.api.cursors import Cursor, Cursors
from usercenter.api.injection import ApiRequest, OurServices
from usercenter.api.origin import origin_of
from usercenter.api.problems import errors
from usercenter.api.reading import Body, require_json
from usercenter.api.services import Services
from usercenter.api.versions import ETAG, IfMatch, expected_sequence, versioned
from usercenter.api.views import Change, Me, UserView
from usercenter.events import Origin
from usercenter.users import directory, queries, roles, service
from usercenter.users.directory import Position, Search, Sort
from usercenter.users.errors import InvalidFields, Problem, UserNotFound

_BEARER: Final[list[dict[str, list[str]]]] = [{"bearer": []}]
_CHANGE: Final = errors(400, 401, 403, 404, 409, 412, 413, 415, 503)
_DEEPEST: Final = 10_000


async def _list(  # noqa: PLR0917  # the framework passes them by name
    request: ApiRequest,
    services: OurServices,
    search: NamedDependency[Search],
    sort: FromQuery[Sort] = "created_at",
    size: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
    page: Annotated[int | None, QueryParameter(ge=1, le=_DEEPEST, required=False)] = None,
    cursor: Cursor = None,
    total: FromQuery[bool] = False,
) -> UserPage:
    """Users by filters, in one of six orders. Follow `next_cursor`; `page` is for small lists (10 000 users deep).

    `username`, `email` and `q` (either of them, or the first or last name) are the beginning of a text, in any case.
    Deleted users are listed with `status=deleted` alone.
    """
    await require_role(request, services, "auditor")
    if page is not None and (cursor is not None or page * size > _DEEPEST):
        problem = Problem("page", "depth", f"goes to {_DEEPEST} users and not with a cursor: follow next_cursor")
        raise InvalidFields([problem])
    cursors, scope = Cursors(services.tokens.derive_key), f"users {sort} {msgspec.json.encode(search).decode()}"
    after = cursors.read(cursor, Position, scope=scope) if cursor is not None else None
    async with services.database.transaction() as tx:
        found = await directory.find_users(
            tx, search, sort=sort, limit=size + 1, after=after, offset=((page or 1) - 1) * size
        )
        count = await directory.count_users(tx, search) if total else None
    shown = found[:size]
    more = cursors.write(directory.position_of(shown[-1], sort), scope=scope) if len(found) > size else None
    return UserPage(users=[UserView.of(user) for user in shown], next_cursor=more, total=count)


def _list_route(path: str, name: str) -> Any:
    route = get(
        path,
        operation_id=name,
        tags=["admin"],
        security=_BEARER,
        responses=errors(400, 401, 403, 503),
        dependencies={"search": Provide(search_of, sync_to_thread=False)},
        name=name,
    )
    return route(_list)


list_users: Final = _list_route("/api/v1/users", "users")
list_users_as_admin: Final = _list_route("/api/v1/admin/users", "adminUsers")


class AdminController(Controller):
    """One user."""

    path = "/api/v1/admin/users/{user_id:uuid}"
    tags = ("admin",)
    security = _BEARER

    @get("/", operation_id="adminUser", responses=errors(401, 403, 404, 503), response_headers=ETAG)
    async def user(self, request: ApiRequest, services: OurServices, user_id: FromPath[UUID]) -> Response[Me]:
        """A user as the database has it now."""
        await require_role(request, services, "auditor")
        async with services.database.transaction() as tx:
            user = await queries.find(tx, user_id)
        if user is None:
            raise UserNotFound("there is no such user (any more)")
        return versioned(user)

    @patch(
        "/",
        dto=Body[Change],
        before_request=require_json,
        operation_id="adminChangeUser",
        responses=_CHANGE,
        response_headers=ETAG,
    )
    async def change(
        self,
        request: ApiRequest,
        services: OurServices,
        user_id: FromPath[UUID],
        data: JSONBody[Change],
        if_match: IfMatch = None,
    ) -> Response[Me]:
        """Those fields that are given, by the rules that hold for their owner; null clears one."""
        given = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not msgspec.UNSET}
        expected, origin = expected_sequence(if_match), await _as_admin(request, services)
        async with services.database.transaction() as tx:
            user = await service.update(
                tx, user_id, given, origin=origin, clock=services.clock, expected_sequence=expected
            )
        return versioned(user)

    @patch(
        "/status",
        dto=Body[StatusChange],
        before_request=require_json,
        operation_id="adminChangeStatus",
        responses=_CHANGE,
        response_headers=ETAG,
    )
    async def change_status(
        self,
        request: ApiRequest,
        services: OurServices,
        user_id: FromPath[UUID],
        data: JSONBody[StatusChange],
        if_match: IfMatch = None,
    ) -> Response[Me]:
        """Activate, deactivate or suspend; unless it is active, every session ends at once. Not the last admin."""
        expected, origin = expected_sequence(if_match), await _as_admin(request, services)
        async with services.database.transaction() as tx:
            user = await roles.change_status(
                tx,
                user_id,
                data.status,
                reason=data.reason,
                origin=origin,
                clock=services.clock,
                expected_sequence=expected,
            )
        return versioned(user)

    @put(
        "/role",
        dto=Body[RoleChange],
        before_request=require_json,
        operation_id="adminChangeRole",
        responses=_CHANGE,
        response_headers=ETAG,
    )
    async def change_role(
        self,
        request: ApiRequest,
        services: OurServices,
        user_id: FromPath[UUID],
        data: JSONBody[RoleChange],
        if_match: IfMatch = None,
    ) -> Response[Me]:
        """Make somebody an admin, an auditor or a plain user, from the next request on. Not the last admin."""
        expected, origin = expected_sequence(if_match), await _as_admin(request, services)
        async with services.database.transaction() as tx:
            user = await roles.change_role(
                tx, user_id, data.role, origin=origin, clock=services.clock, expected_sequence=expected
            )
        return versioned(user)

    @delete("/", operation_id="adminDeleteUser", responses=errors(400, 401, 403, 404, 409, 412, 503))
    async def delete(
        self, request: ApiRequest, services: OurServices, user_id: FromPath[UUID], if_match: IfMatch = None
    ) -> None:
        """Delete the account, for good; every session ends at once. Not the last admin."""
        expected, origin = expected_sequence(if_match), await _as_admin(request, services)
        async with services.database.transaction() as tx:
            await roles.delete(
                tx, user_id, deleted_by="admin", origin=origin, clock=services.clock, expected_sequence=expected
            )


async def _as_admin(request: ApiRequest, services: Services) -> Origin:
    admin = await require_role(request, services, "admin")
    return origin_of(request, actor=admin.user.id)
