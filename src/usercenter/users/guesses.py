"""How many wrong passwords a name and a network may have, and who is let in all the same.

Counted are wrong passwords of the last 15 minutes, by the name that was tried (a username, an address, or the id of a
caller who is signed in: each for itself, so that no answer tells that two belong together) and by network. Whoever is
past a limit is refused before anything is hashed, whatever the password is. Refused guesses are not counted.

A name that strangers have used up is still open to networks from which its owner has come before, until these have used
it up themselves: nobody locks somebody else out of the usual place.

Guesses in hand count as well, in this process (`undecided.py`), so a thousand at once are no more than one by one. What
other processes have in hand is not known here: n processes may let through n times the limit within the moment that a
hash takes, and nothing more afterwards.
"""

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import structlog

from usercenter.clock import Clock
from usercenter.config.model import Logins
from usercenter.db import Database, Transaction
from usercenter.metrics import Metrics
from usercenter.users import guess_queries, names
from usercenter.users.errors import TooManyRequests
from usercenter.users.guess_queries import WINDOW, Count, Counts, Tried
from usercenter.users.model import User
from usercenter.users.reset_limits import network_of
from usercenter.users.undecided import Guess, Undecided

log = structlog.get_logger()

Kind = Literal["username", "email", "id"]
_NOBODY: Final = UUID(int=0)
_HASH_BYTES: Final = 16
"""Half of SHA-256: short indexes, and still nobody finds two names with one hash."""
_MESSAGES: Final = {
    "name": "too many wrong passwords for this name: wait (Retry-After says how long), or reset the password",
    "network": "too many wrong passwords came from your network: wait (Retry-After says how long)",
}


class Guesses:
    """Both limits, for one process. `key` is secret: nobody else can compare the hashes with names and addresses."""

    def __init__(self, settings: Logins, key: bytes, *, metrics: Metrics, clock: Clock) -> None:
        self._settings = settings
        self._key = key
        self._metrics = metrics
        self._clock = clock
        self._undecided = Undecided()
        for limit in _MESSAGES:  # a rate needs the zero before the first
            metrics.guesses_refused.labels(limit)

    def tried(self, kind: Kind, key: str, *, ip_address: str | None) -> Tried:
        """What a guess is counted by. `key` is what names are compared by."""
        network = network_of(ip_address)
        return Tried(name_hash=self._hash(kind, key), network_hash=self._hash("network", network), network=network)

    @contextmanager
    def guess(self, tried: Tried) -> Iterator[Guess]:
        """A guess in hand until the block ends, in whatever way; who notes it as wrong sets its `is_wrong`."""
        with self._undecided.guess(tried.name_hash, tried.network_hash, tried.name_hash + tried.network_hash) as guess:
            yield guess

    def asked(self, guess: Guess, tried: Tried) -> dict[str, Any]:
        """The parameters of the statement that counts, which follows at once."""
        for place in guess.places:
            place.look()
        settings = self._settings
        return guess_queries.values(
            tried,
            name_most=settings.wrong_passwords_per_name,
            network_most=settings.wrong_passwords_per_network,
            now=self._clock.now(),
        )

    async def admit(
        self, database: Database, guess: Guess, tried: Tried, counts: Counts, *, user_id: UUID | None
    ) -> None:
        """Let the guess go on, perhaps after those before it. Raises TooManyRequests.

        `user_id` is whose account the name is; without one everything takes the same way, to take as long.
        """
        of_name, of_network, _ = guess.places
        most = self._settings.wrong_passwords_per_network
        if await of_network.wrong_before(counts.of_network.number, most=most) >= most:
            raise self._refusal("network", counts.of_network)
        most = self._settings.wrong_passwords_per_name
        if await of_name.wrong_before(counts.of_name.number, most=most) < most:
            return
        own = await self._own(database, guess, tried, user_id or _NOBODY)
        if own is None or own.number >= most:
            raise self._refusal("name", own or counts.of_name)

    async def _own(self, database: Database, guess: Guess, tried: Tried, user_id: UUID) -> Count | None:
        """What was wrong from this network alone, where the account was used from it before; None where it was not."""
        async with database.reading() as tx:
            addresses, own = await guess_queries.of_own_networks(tx, user_id, self.asked(guess, tried))
        if tried.network not in map(network_of, addresses):
            return None
        most = self._settings.wrong_passwords_per_name
        return Count(await guess.places[2].wrong_before(own.number, most=most), own.oldest)

    async def forgive(self, tx: Transaction, user: User) -> None:
        """Forget the wrong passwords for this account's names, whose owner has just proved to be it. Does not commit.

        What counts for the networks that tried them goes with them: a few for each, once.
        """
        written = (("username", names.key_of(user.username)), ("email", names.key_of(user.email)), ("id", str(user.id)))
        await guess_queries.forgive(tx, [self._hash(kind, key) for kind, key in written])

    def _refusal(self, limit: Literal["name", "network"], count: Count) -> TooManyRequests:
        self._metrics.guesses_refused.labels(limit).inc()
        log.info("logins.guess_refused", limit=limit)
        return TooManyRequests(_MESSAGES[limit], retry_after_seconds=_seconds_until_fewer(count, self._clock.now()))

    def _hash(self, kind: str, text: str) -> bytes:
        return hmac.digest(self._key, f"{kind} {text}".encode(), hashlib.sha256)[:_HASH_BYTES]


def _seconds_until_fewer(count: Count, now: datetime) -> int:
    """Until the oldest of them counts no more; those that were still in hand count for the whole time."""
    return int(((count.oldest or now) + WINDOW - now).total_seconds()) + 1
