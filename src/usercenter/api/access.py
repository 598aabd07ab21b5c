"""Who is asking, and what that person may do."""

from typing import Any, Final, cast
from uuid import UUID

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from usercenter.api.reading import query_problems
from usercenter.api.services import ApiRequest, Services
from usercenter.users.errors import InvalidFields, NotAllowed, TokenInvalid
from usercenter.users.model import Role, User

_MAY: Final[dict[Role, tuple[Role, ...]]] = {"admin": ("user", "auditor", "admin"), "auditor": ("user", "auditor")}
"""Which roles a role includes beside itself."""

_CALLER: Final = "usercenter.caller"


class Caller(msgspec.Struct, frozen=True):
    """The user to whom the access token belongs, and the session that it is of."""

    user: User
    session_id: UUID

    def is_at_least(self, role: Role) -> bool:
        """Whether this user may do what that role may do."""
        return role in _MAY.get(self.user.role, (self.user.role,))


async def caller(request: ASGIConnection[Any, Any, Any, Any], services: Services) -> Caller:
    """Who sent this request, by its bearer token; asks the database, so an ended session counts at once.

    Raises TokenInvalid.
    """
    if known := request.scope.get(_CALLER):
        return cast("Caller", known)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise TokenInvalid("send the access token: Authorization: Bearer <token>")
    claims = services.tokens.check_access(token.strip())
    who = Caller(await services.owners.of(claims), claims.session_id)
    request.scope[_CALLER] = who  # type: ignore[typeddict-unknown-key]
    return who


async def let_in(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Before anything else of a request is read: who sends it, where the route asks for an access token.

    Then the query: see `reading.query_problems`. A guard of the web framework. Raises TokenInvalid, InvalidFields.
    """
    if not isinstance(handler, HTTPRouteHandler):
        return
    if handler.resolve_security():
        await caller(connection, connection.app.state.services)
    if problems := query_problems(handler, connection.query_params):
        raise InvalidFields(problems)


async def require_role(request: ApiRequest, services: Services, role: Role) -> Caller:
    """The caller, who has this role or one that includes it. Raises TokenInvalid, NotAllowed."""
    who = await caller(request, services)
    if not who.is_at_least(role):
        raise NotAllowed(f"this needs the role {role}: ask an administrator")
    return who
