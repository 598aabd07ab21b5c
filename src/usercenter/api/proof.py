"""Passwords that prove who asks; each wrong one is remembered and counted, whichever route it was sent to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from usercenter.api.access import Caller
from usercenter.api.injection import ApiRequest
from usercenter.api.origin import origin_of
from usercenter.api.services import Services
from usercenter.events import Origin
from usercenter.users import facts, guess_queries, queries
from usercenter.users.errors import WrongPassword
from usercenter.users.guess_queries import Counts, Tried
from usercenter.users.guesses import Kind
from usercenter.users.model import Credentials
from usercenter.users.undecided import Guess


class Attempt:
    """A password that somebody sent, until it is known to be right or wrong."""

    def __init__(self, services: Services, guess: Guess, tried: Tried, origin: Origin) -> None:
        self._services = services
        self._guess = guess
        self._tried = tried
        self._origin = origin

    def asked(self) -> dict[str, Any]:
        """The parameters of the statement that finds the credentials and counts, which follows at once."""
        return self._services.guesses.asked(self._guess, self._tried)

    async def is_right(self, seen: tuple[Counts, Credentials | None], password: str) -> bool:
        """Whether the password belongs to what was found; a wrong one is noted before this returns, and committed.

        Raises TooManyRequests before anything is hashed.
        """
        counts, found = seen
        user_id, password_hash = (found.user.id, found.password_hash) if found else (None, None)
        services = self._services
        await services.guesses.admit(services.database, self._guess, self._tried, counts, user_id=user_id)
        if await services.passwords.matches(password, password_hash):
            return True
        await self._note(user_id)
        return False

    async def _note(self, user_id: UUID | None) -> None:
        """For the limits, for the rules about strange logins, and for the statistics."""
        services, now = self._services, self._services.clock.now()
        async with services.database.transaction() as tx:
            await guess_queries.note(tx, self._tried, user_id=user_id, ip_address=self._origin.ip_address, now=now)
            await facts.tell_login_failure(tx, user_id, services.pseudonyms, now=now)
        self._guess.is_wrong = True


@contextmanager
def attempt(services: Services, kind: Kind, key: str, origin: Origin) -> Iterator[Attempt]:
    """A password sent for this name (`key` is what such names are compared by); in hand until the block ends."""
    tried = services.guesses.tried(kind, key, ip_address=origin.ip_address)
    with services.guesses.guess(tried) as guess:
        yield Attempt(services, guess, tried, origin)


async def prove(request: ApiRequest, services: Services, me: Caller, password: str) -> str:
    """The hash of the caller's present password, which this is.

    Raises WrongPassword, and counts it like a login's, by the caller's id; TooManyRequests when too many were wrong.
    """
    with attempt(services, "id", str(me.user.id), origin_of(request)) as trying:
        async with services.database.reading() as tx:
            seen = await queries.credentials_counted(tx, trying.asked(), me.user.id)
        _, present = seen
        if not await trying.is_right(seen, password) or present is None:
            raise WrongPassword("this is not the present password of the account: nothing was changed")
    return present.password_hash
