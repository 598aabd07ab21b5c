"""Passwords that prove who asks; each wrong one is remembered, whichever route it was sent to."""

from uuid import UUID

from usercenter.api.access import Caller
from usercenter.api.injection import ApiRequest
from usercenter.api.origin import origin_of
from usercenter.api.services import Services
from usercenter.events import Origin
from usercenter.users import facts, logins, queries
from usercenter.users.errors import WrongPassword


async def prove(request: ApiRequest, services: Services, me: Caller, password: str) -> str:
    """The hash of the caller's present password, which this is. Raises WrongPassword, and counts it like a login's."""
    async with services.database.reading() as tx:
        present = await queries.password_hash_of(tx, me.user.id)
    if not await services.passwords.matches(password, present) or present is None:
        await note_failure(services, me.user.id, origin_of(request))
        raise WrongPassword("this is not the present password of the account: nothing was changed")
    return present


async def note_failure(services: Services, user_id: UUID | None, origin: Origin) -> None:
    """Keep that a password was wrong, for the rules about strange logins and for the statistics. Commits."""
    async with services.database.transaction() as tx:
        now = services.clock.now()
        await logins.note_failure(tx, user_id=user_id, ip_address=origin.ip_address, now=now)
        await facts.tell_login_failure(tx, user_id, services.pseudonyms, now=now)
