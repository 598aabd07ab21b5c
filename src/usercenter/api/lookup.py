"""`/api/v1/users/{id}`: one user, for the user and for those who look after users."""

from typing import Final
from uuid import UUID

from litestar import Controller, Response, get
from litestar.params import FromPath

from usercenter.api.access import caller
from usercenter.api.injection import ApiRequest, OurServices
from usercenter.api.problems import errors
from usercenter.api.versions import ETAG, versioned
from usercenter.api.views import Me
from usercenter.users.errors import NotAllowed, UserNotFound

_BEARER: Final[list[dict[str, list[str]]]] = [{"bearer": []}]


class LookupController(Controller):
    """Users by their id."""

    path = "/api/v1/users"
    tags = ("users",)

    @get(
        "/{user_id:uuid}",
        operation_id="user",
        responses=errors(401, 403, 404, 503),
        response_headers=ETAG,
        security=_BEARER,
    )
    async def user(self, request: ApiRequest, services: OurServices, user_id: FromPath[UUID]) -> Response[Me]:
        """A user: oneself, or anybody for admins and auditors. A copy may be `cache.ttl_seconds` old at most."""
        me = await caller(request, services)
        if me.user.id == user_id:
            return versioned(me.user)
        if not me.is_at_least("auditor"):
            raise NotAllowed("other users can be seen with the role admin or auditor alone")
        user = await services.users.find(services.database, user_id)
        if user is None:
            raise UserNotFound("there is no such user (any more)")
        return versioned(user)
