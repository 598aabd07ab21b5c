"""Who is asking, and what that person may do."""

from collections.abc import Callable, Iterable
from typing import Any, Final, cast
from uuid import UUID

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from usercenter.api.injection import ApiRequest
from usercenter.api.parameters import query_problems
from usercenter.api.services import Services
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


async def caller(request: ApiRequest, services: Services) -> Caller:
    """Who sent this request, by its bearer token; see `users/owners.py` for how soon an ended session counts.

    Raises TokenInvalid.
    """
    return await _caller(request.scope, services)


def entrance(services: Services) -> Callable[[ASGIApp], ASGIApp]:
    """What a request passes before anything else of it is read: a middleware around each route.

    First who sends it, where the route asks for an access token; then the query, see `parameters.query_problems`. Plain
    ASGI: a guard of the web framework would copy the route for each request. Raises TokenInvalid, InvalidFields.
    """

    def guarded(app: ASGIApp) -> ASGIApp:
        async def let_in(scope: Scope, receive: Receive, send: Send) -> None:
            handler = scope["route_handler"]
            if isinstance(handler, HTTPRouteHandler):
                if handler.resolve_security():
                    await _caller(scope, services)
                if scope["query_string"] and (problems := query_problems(handler, ASGIConnection(scope).query_params)):
                    raise InvalidFields(problems)
            await app(scope, receive, send)

        return let_in

    return guarded


async def require_role(request: ApiRequest, services: Services, role: Role) -> Caller:
    """The caller, who has this role or one that includes it. Raises TokenInvalid, NotAllowed."""
    who = await caller(request, services)
    if not who.is_at_least(role):
        raise NotAllowed(f"this needs the role {role}: ask an administrator")
    return who


async def _caller(scope: Any, services: Services) -> Caller:
    if known := scope.get(_CALLER):
        return cast("Caller", known)
    claims = services.tokens.check_access(_bearer_token(scope["headers"]))
    user = await services.owners.of(claims, is_reading=scope["method"] == "GET")
    who = Caller(user, claims.session_id)
    scope[_CALLER] = who
    return who


def _bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer" and (token := token.strip()):
                return token
            break
    raise TokenInvalid("send the access token: Authorization: Bearer <token>")
