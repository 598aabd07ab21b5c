"""Sessions: refresh and logout, and the list from which an owner ends the others."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, post
from litestar.params import FromPath, JSONBody

from usercenter.api.access import caller
from usercenter.api.injection import ApiRequest, OurServices
from usercenter.api.problems import errors
from usercenter.api.reading import Body, require_json
from usercenter.api.versions import ETAG, etag
from usercenter.api.views import RefreshRequest, SignedIn, UserView
from usercenter.users import queries, sessions
from usercenter.users.devices import device_of
from usercenter.users.errors import SessionNotFound, TokenInvalid
from usercenter.users.queries import SessionRow

_BEARER: Final[list[dict[str, list[str]]]] = [{"bearer": []}]


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A session that is open."""

    id: UUID
    created_at: datetime
    last_used_at: datetime
    """When its tokens were refreshed last, or else when it began."""
    expires_at: datetime
    ip_address: str | None
    device: str | None
    """In words: `Chrome 140 on Windows`."""
    is_current: bool
    """Whether the access token of this request belongs to it."""
    is_suspicious: bool
    """Whether its login was strange; see `/api/v1/users/me/logins`."""

    @classmethod
    def of(cls, row: SessionRow, *, current: UUID) -> "SessionView":
        """The view of a session."""
        device = device_of(row.user_agent)
        return cls(
            id=row.id,
            created_at=row.created_at,
            last_used_at=row.last_used_at or row.created_at,
            expires_at=row.expires_at,
            ip_address=row.ip_address,
            device=device.words if device else None,
            is_current=row.id == current,
            is_suspicious=row.is_suspicious,
        )


class Sessions(msgspec.Struct, frozen=True):
    """The open sessions of the caller, newest first."""

    sessions: list[SessionView]


class Ended(msgspec.Struct, frozen=True):
    """How many sessions were ended."""

    ended: int


class SessionController(Controller):
    """What begins with a login."""

    path = "/api/v1/users"
    tags = ("sessions",)

    @post(
        "/refresh",
        dto=Body[RefreshRequest],
        before_request=require_json,
        status_code=200,
        operation_id="refresh",
        responses=errors(400, 401, 413, 415, 503),
        response_headers=ETAG,
    )
    async def refresh(self, services: OurServices, data: JSONBody[RefreshRequest]) -> Response[SignedIn]:
        """New tokens for a refresh token, which is used up; for 30 s it is answered again, should the answer be lost.

        Whoever uses it later holds a copy: that ends the session.
        """
        async with services.database.transaction() as tx:
            refreshed = await sessions.refresh(tx, data.refresh_token, services.refresh_tokens, clock=services.clock)
        if refreshed is None:
            raise TokenInvalid("this refresh token was used before, so the session was ended: log in again")
        user, session = refreshed
        body = SignedIn(
            user=UserView.of(user),
            token=services.tokens.issue_access(user.id, session.id),
            refresh_token=session.refresh_token,
            expires_in=services.config.tokens.access_minutes * 60,
            message="Here are new tokens.",
        )
        return Response(body, headers=etag(user))

    @post("/logout", status_code=204, operation_id="logOut", responses=errors(401, 503), security=_BEARER)
    async def log_out(self, request: ApiRequest, services: OurServices) -> None:
        """End the session of the access token, at once."""
        me = await caller(request, services)
        async with services.database.transaction() as tx:
            now = services.clock.now()
            await sessions.end(tx, me.user.id, session_id=me.session_id, reason="logged_out", now=now)

    @get("/me/sessions", operation_id="mySessions", responses=errors(401, 503), security=_BEARER)
    async def my_sessions(self, request: ApiRequest, services: OurServices) -> Sessions:
        """Where the caller is logged in, newest first."""
        me = await caller(request, services)
        async with services.database.transaction() as tx:
            rows = await queries.sessions_of(tx, me.user.id, now=services.clock.now())
        return Sessions([SessionView.of(row, current=me.session_id) for row in rows])

    @delete(
        "/me/sessions/{session_id:uuid}", operation_id="endSession", responses=errors(401, 404, 503), security=_BEARER
    )
    async def end_session(self, request: ApiRequest, services: OurServices, session_id: FromPath[UUID]) -> None:
        """End one session, at once."""
        me = await caller(request, services)
        async with services.database.transaction() as tx:
            now = services.clock.now()
            was_open = await sessions.end(tx, me.user.id, session_id=session_id, reason="ended_by_owner", now=now)
        if not was_open:
            raise SessionNotFound("you have no open session with this id: it may have ended already")

    @delete(
        "/me/sessions", status_code=200, operation_id="endOtherSessions", responses=errors(401, 503), security=_BEARER
    )
    async def end_other_sessions(self, request: ApiRequest, services: OurServices) -> Ended:
        """End every session but the one of this request, at once."""
        me = await caller(request, services)
        async with services.database.transaction() as tx:
            now = services.clock.now()
            return Ended(await sessions.end_all(tx, me.user.id, reason="ended_by_owner", now=now, keep=me.session_id))
