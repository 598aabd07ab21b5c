"""A forgotten password, and the confirmation of a new address: for who has no access token, but reads the mailbox."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from litestar import Controller, post
from litestar.params import JSONBody

from usercenter.api.injection import ApiRequest, OurServices
from usercenter.api.origin import origin_of
from usercenter.api.problems import errors
from usercenter.api.reading import Body, require_json
from usercenter.api.views import Done, ForgottenPassword, OneTimeToken, PasswordReset
from usercenter.users import recovery

_FORGOT_SECONDS: Final = 0.2
"""How long an answer takes at least, so that its time does not tell whether there is such an account."""


class RecoveryController(Controller):
    """What the right mailbox proves."""

    path = "/api/v1/users"
    tags = ("recovery",)

    @post(
        "/password/forgot",
        dto=Body[ForgottenPassword],
        before_request=require_json,
        status_code=202,
        operation_id="forgotPassword",
        responses=errors(400, 413, 415, 429, 503),
    )
    async def forgot(self, request: ApiRequest, services: OurServices, data: JSONBody[ForgottenPassword]) -> Done:
        """Ask for a mail to set another password. The answer is the same whether there is such an account or not.

        An account gets `recovery.mails_per_account_hour` such mails, and a network (an IPv4 address, an IPv6 /64) may
        ask for `recovery.requests_per_network_hour`; then the answer is 429, with Retry-After.
        """
        async with _at_least(_FORGOT_SECONDS), services.database.transaction() as tx:
            await recovery.ask_for_reset(
                tx, data.email, services.reset_limits, origin=origin_of(request), clock=services.clock
            )
        return Done("If an account has this address, a mail with the next step is on its way.")

    @post(
        "/password/reset",
        dto=Body[PasswordReset],
        before_request=require_json,
        status_code=200,
        operation_id="resetPassword",
        responses=errors(400, 401, 413, 415, 503),
    )
    async def reset(self, request: ApiRequest, services: OurServices, data: JSONBody[PasswordReset]) -> Done:
        """Set another password with the token of the mail, once; every session ends at once."""
        services.one_time_tokens.read(data.token)  # before the hash, which costs
        new_hash, origin = await services.passwords.hash(data.new_password), origin_of(request)
        async with services.database.transaction() as tx:
            await recovery.reset_password(
                tx,
                data.token,
                services.one_time_tokens,
                services.guesses,
                new_hash=new_hash,
                origin=origin,
                clock=services.clock,
            )
        return Done("The new password is set: log in with it.")

    @post(
        "/email/confirm",
        dto=Body[OneTimeToken],
        before_request=require_json,
        status_code=200,
        operation_id="confirmEmail",
        responses=errors(400, 401, 409, 413, 415, 503),
    )
    async def confirm_email(self, request: ApiRequest, services: OurServices, data: JSONBody[OneTimeToken]) -> Done:
        """Change the address to the one that got the mail with this token, once."""
        origin = origin_of(request)
        async with services.database.transaction() as tx:
            await recovery.confirm_email(tx, data.token, services.one_time_tokens, origin=origin, clock=services.clock)
        return Done("The address is changed.")


@asynccontextmanager
async def _at_least(seconds: float) -> AsyncIterator[None]:
    """Leave the block, when it succeeds, no sooner than this."""
    until = time.monotonic() + seconds
    yield
    await asyncio.sleep(until - time.monotonic())
