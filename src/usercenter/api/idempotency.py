"""`Idempotency-Key`: a request that is sent again gets the answer of the first one.

The answer is kept, sealed, in the transaction of the change, so there is never one without the other.
"""

import asyncio
import hmac
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from usercenter.api.sealing import Sealing
from usercenter.db import Database, DatabaseUnavailable, Transaction

log = structlog.get_logger()

LONGEST_KEY: Final = 255
_FORGET_EVERY_SECONDS: Final = 600.0


class KeyReused(Exception):
    """The key was used before for a different request."""


class Answer(msgspec.Struct, frozen=True):
    """A status and a JSON body, byte for byte."""

    status: int
    body: bytes


class IdempotencyKeys:
    """Remembers answers by the sender's key. `derive(purpose, salt=…)` makes secret keys, the same in every process."""

    def __init__(self, derive: Callable[..., bytes]) -> None:
        self._sealing = Sealing(derive)

    async def find(self, tx: Transaction, *, scope: str, key: str, request: bytes) -> Answer | None:
        """The answer that this key got before. Raises KeyReused when it belonged to another request."""
        row = await tx.fetch_one(
            "select request_hash, status, answer from idempotency_keys where scope = %s and key_hash = %s",
            (scope, self._sealing.hash(key.encode())),
        )
        if row is None:
            return None
        if not hmac.compare_digest(row[0], self._sealing.hash(request)):
            raise KeyReused("this Idempotency-Key was used for a different request: use a new key for each operation")
        return Answer(row[1], self._sealing.open(row[2], key=key))

    async def claim(self, tx: Transaction, *, scope: str, key: str, request: bytes) -> Answer | None:
        """Take the key for this transaction, or return the answer that it already has.

        Waits while another request with the same key is under way. Raises KeyReused.
        """
        cursor = await tx.execute(
            "insert into idempotency_keys (scope, key_hash, request_hash, status, answer) "
            "values (%s, %s, %s, 0, '') on conflict do nothing",
            (scope, self._sealing.hash(key.encode()), self._sealing.hash(request)),
        )
        return None if cursor.rowcount else await self.find(tx, scope=scope, key=key, request=request)

    async def keep(self, tx: Transaction, answer: Answer, *, scope: str, key: str) -> None:
        """Keep the answer under the claimed key. Does not commit."""
        await tx.execute(
            "update idempotency_keys set status = %s, answer = %s where scope = %s and key_hash = %s",
            (answer.status, self._sealing.seal(answer.body, key=key), scope, self._sealing.hash(key.encode())),
        )


async def keep_forgetting(database: Database, *, hours: int) -> None:
    """Delete keys past their retention, now and then, until cancelled."""
    while True:
        try:
            async with database.transaction() as tx:
                await forget_older_than(tx, hours=hours)
        except DatabaseUnavailable:
            log.warning("idempotency.database_unavailable", next="tried again later")
        await asyncio.sleep(_FORGET_EVERY_SECONDS)


async def forget_older_than(tx: Transaction, *, hours: int) -> int:
    """Delete keys past their retention; returns how many. Does not commit."""
    cursor = await tx.execute(
        "delete from idempotency_keys where created_at < now() - make_interval(hours => %s)", (hours,)
    )
    return cursor.rowcount
