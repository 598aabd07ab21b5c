"""`/api/v1/users`: register, log in."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, post
from litestar.params import HeaderParameter, JSONBody

from usercenter.api.idempotency import LONGEST_KEY, Answer
from usercenter.api.injection import ApiRequest, OurServices
from usercenter.api.origin import origin_of
from usercenter.api.problems import errors
from usercenter.api.proof import attempt
from usercenter.api.reading import Body, require_json
from usercenter.api.services import Services
from usercenter.api.versions import ETAG, FIRST_VERSION, etag
from usercenter.api.views import LoginRequest, RegisterRequest, SignedIn, UserView
from usercenter.events import Origin
from usercenter.users import queries, service, sessions
from usercenter.users.drafts import draft_of
from usercenter.users.errors import WrongCredentials
from usercenter.users.model import Credentials, Session, User


class UserController(Controller):
    """The routes of an account's owner."""

    path = "/api/v1/users"
    tags = ("users",)

    @post(
        "/register",
        dto=Body[RegisterRequest],
        before_request=require_json,
        responses=errors(400, 409, 413, 415, 422, 503),
        operation_id="register",
        response_headers=ETAG,
    )
    async def register(
        self,
        request: ApiRequest,
        services: OurServices,
        data: JSONBody[RegisterRequest],
        idempotency_key: Annotated[
            str | None, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=LONGEST_KEY, required=False)
        ] = None,
    ) -> Response[SignedIn]:
        """Open an account: 201, or nothing has happened. With an Idempotency-Key it may be sent again without harm."""
        draft = draft_of(services.config.accounts, **msgspec.structs.asdict(data))
        origin, keys, key, body = origin_of(request), services.idempotency, idempotency_key, await request.body()
        if key and (earlier := await _kept(services, key, body)):
            return _json(earlier)  # without a hash, which costs
        password_hash = await services.passwords.hash(draft.password)
        session, database = _begun(services), services.database
        async with database.transaction() if key else database.at_once() as tx:
            if key and (earlier := await keys.claim(tx, scope="register", key=key, request=body)):
                return _json(earlier)
            user = await service.register(
                tx, draft, password_hash=password_hash, session=session, origin=origin, clock=services.clock
            )
            signed_in = _signed_in(services, user, session, "Welcome! Your account is open.")
            answer = Answer(201, msgspec.json.encode(signed_in))
            if key:
                await keys.keep(tx, answer, scope="register", key=key)
        return _json(answer)

    @post(
        "/login",
        dto=Body[LoginRequest],
        before_request=require_json,
        status_code=200,
        responses=errors(400, 401, 403, 413, 415, 429, 503),
        operation_id="logIn",
        response_headers=ETAG,
    )
    async def log_in(
        self, request: ApiRequest, services: OurServices, data: JSONBody[LoginRequest]
    ) -> Response[SignedIn]:
        """Begin a session with username or address and password.

        A name may have `logins.wrong_passwords_per_name` wrong passwords within 15 minutes, and a network (an IPv4
        address, an IPv6 /64) `logins.wrong_passwords_per_network`; then the answer is 429, with Retry-After, whatever
        the password is.
        """
        field, key = service.looked_up(username=data.username, email=data.email)
        origin = origin_of(request)
        with attempt(services, field, key, origin) as trying:
            async with services.database.reading() as tx:
                found = await queries.find_credentials_counted(tx, trying.asked(), field=field, key=key)
            _, seen = found
            if not await trying.is_right(found, data.password) or seen is None:
                raise WrongCredentials("no account has this name or address with this password")
        session = _begun(services)
        user = await _log_in(services, seen, session, origin, data.password)
        return Response(_signed_in(services, user, session, "Welcome back."), headers=etag(user))


async def _log_in(services: Services, seen: Credentials, session: Session, origin: Origin, password: str) -> User:
    id_, new_hash = seen.user.id, await _renewed_hash(services, seen.password_hash, password)
    how: dict[str, Any] = {"session": session, "origin": origin, "clock": services.clock}
    async with services.database.at_once() as tx:
        user = await service.log_in_as_seen(tx, seen, new_hash=new_hash, **how)
    if user is not None:
        return user
    try:  # somebody changed the user while the password was compared, or logged in as well
        async with services.database.transaction() as tx:
            return await service.log_in(tx, id_, password_hash=seen.password_hash, new_hash=new_hash, **how)
    except WrongCredentials:
        present = await _present_hash(services, id_, password)
        if present is None:
            raise
    async with services.database.transaction() as tx:
        return await service.log_in(tx, id_, password_hash=present, **how)


async def _present_hash(services: Services, user_id: UUID, password: str) -> str | None:
    """The hash by now, if the password is still this one: another login has renewed the hash. None: it was changed."""
    async with services.database.reading() as tx:
        present = await queries.password_hash_of(tx, user_id)
    return present if await services.passwords.matches(password, present) else None


async def _kept(services: Services, key: str, body: bytes) -> Answer | None:
    """The answer to the same request before, if it is there by now; only `claim` tells that there is none."""
    async with services.database.reading() as tx:
        return await services.idempotency.find(tx, scope="register", key=key, request=body)


async def _renewed_hash(services: Services, password_hash: str, password: str) -> str | None:
    if not services.passwords.is_outdated(password_hash):
        return None
    return await services.passwords.hash(password)


def _begun(services: Services) -> Session:
    return sessions.begun(services.refresh_tokens, days=services.config.tokens.refresh_days, clock=services.clock)


def _signed_in(services: Services, user: User, session: Session, message: str) -> SignedIn:
    return SignedIn(
        user=UserView.of(user),
        token=services.tokens.issue_access(user.id, session.id),
        refresh_token=session.refresh_token,
        expires_in=services.config.tokens.access_minutes * 60,
        message=message,
    )


def _json(answer: Answer) -> Response[SignedIn]:
    body: Any = answer.body  # bytes pass through as they are
    return Response(body, status_code=answer.status, media_type="application/json", headers=FIRST_VERSION)
