"""`/api/v1/users/me`: what an owner sees and changes of the own account."""

from typing import Any, Final

import msgspec
from litestar import Controller, Response, delete, get, patch, post, put
from litestar.params import JSONBody

from usercenter.api.access import caller
from usercenter.api.injection import ApiRequest, OurServices
from usercenter.api.origin import origin_of
from usercenter.api.problems import errors
from usercenter.api.proof import prove
from usercenter.api.reading import Body, require_json
from usercenter.api.services import Services
from usercenter.api.versions import ETAG, IfMatch, expected_sequence, versioned
from usercenter.api.views import Change, Done, Me, NewEmail, NewPassword, PasswordProof, Replacement
from usercenter.users import names, recovery, roles, service

_BEARER: Final[list[dict[str, list[str]]]] = [{"bearer": []}]


class MeController(Controller):
    """The account of the caller."""

    path = "/api/v1/users/me"
    tags = ("me",)
    security = _BEARER

    @get("/", operation_id="me", responses=errors(401, 503), response_headers=ETAG)
    async def me(self, request: ApiRequest, services: OurServices) -> Response[Me]:
        """The user to whom the access token belongs."""
        return versioned((await caller(request, services)).user)

    @put(
        "/",
        dto=Body[Replacement],
        before_request=require_json,
        operation_id="replaceMe",
        responses=errors(400, 401, 404, 409, 412, 413, 415, 503),
        response_headers=ETAG,
    )
    async def replace(
        self, request: ApiRequest, services: OurServices, data: JSONBody[Replacement], if_match: IfMatch = None
    ) -> Response[Me]:
        """Everything that can be changed directly, all at once; what is left out is cleared."""
        return await _update(request, services, msgspec.structs.asdict(data), if_match)

    @patch(
        "/",
        dto=Body[Change],
        before_request=require_json,
        operation_id="changeMe",
        responses=errors(400, 401, 404, 409, 412, 413, 415, 503),
        response_headers=ETAG,
    )
    async def change(
        self, request: ApiRequest, services: OurServices, data: JSONBody[Change], if_match: IfMatch = None
    ) -> Response[Me]:
        """Those fields that are given; null clears one."""
        given = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not msgspec.UNSET}
        return await _update(request, services, given, if_match)

    @delete(
        "/",
        dto=Body[PasswordProof],
        before_request=require_json,
        operation_id="deleteMe",
        responses=errors(400, 401, 403, 404, 409, 412, 413, 415, 429, 503),
    )
    async def delete(
        self, request: ApiRequest, services: OurServices, data: JSONBody[PasswordProof], if_match: IfMatch = None
    ) -> None:
        """Delete the account, for good; every session ends at once. Not the last admin's."""
        expected, me = expected_sequence(if_match), await caller(request, services)
        id_, proved = me.user.id, await prove(request, services, me, data.password)
        origin = origin_of(request, actor=id_)
        async with services.database.transaction() as tx:
            await roles.require_another_admin(tx, id_)
            await service.prove(tx, id_, password_hash=proved)
            await service.delete(
                tx, id_, deleted_by=str(id_), origin=origin, clock=services.clock, expected_sequence=expected
            )

    @put(
        "/password",
        dto=Body[NewPassword],
        before_request=require_json,
        operation_id="changePassword",
        responses=errors(400, 401, 403, 404, 413, 415, 429, 503),
        response_headers=ETAG,
    )
    async def change_password(
        self, request: ApiRequest, services: OurServices, data: JSONBody[NewPassword]
    ) -> Response[Me]:
        """Another password; every other session ends at once."""
        me = await caller(request, services)
        old_hash = await prove(request, services, me, data.old_password)
        new_hash = await services.passwords.hash(data.new_password)
        async with services.database.transaction() as tx:
            user = await service.change_password(
                tx,
                me.user.id,
                old_hash=old_hash,
                new_hash=new_hash,
                keep_session=me.session_id,
                origin=origin_of(request, actor=me.user.id),
                clock=services.clock,
            )
        return versioned(user)

    @post(
        "/email",
        dto=Body[NewEmail],
        before_request=require_json,
        status_code=202,
        operation_id="askForEmailChange",
        responses=errors(400, 401, 403, 404, 409, 413, 415, 429, 503),
    )
    async def ask_for_email_change(self, request: ApiRequest, services: OurServices, data: JSONBody[NewEmail]) -> Done:
        """Ask for another address: a mail goes there, and nothing is changed before its token is confirmed."""
        me = await caller(request, services)
        proved = await prove(request, services, me, data.password)
        new_email, _ = names.check_email(data.email)
        origin = origin_of(request, actor=me.user.id)
        async with services.database.transaction() as tx:
            user = await service.prove(tx, me.user.id, password_hash=proved)
            await recovery.ask_for_email_change(tx, user, new_email, origin=origin, clock=services.clock)
        return Done("A mail is on its way to the new address: its link makes the change.")


async def _update(
    request: ApiRequest, services: Services, changes: dict[str, Any], if_match: str | None
) -> Response[Me]:
    expected, me = expected_sequence(if_match), await caller(request, services)
    how: dict[str, Any] = {
        "origin": origin_of(request, actor=me.user.id),
        "clock": services.clock,
        "expected_sequence": expected,
    }
    async with services.database.at_once() as tx:
        user = await service.update_as_seen(tx, me.user, changes, **how)
    if user is None:
        async with services.database.transaction() as tx:
            user = await service.update(tx, me.user.id, changes, **how)
    return versioned(user)
