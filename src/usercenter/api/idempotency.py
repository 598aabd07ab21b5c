"""`Idempotency-Key`: a request that is sent again gets the answer of the first one.

The answer is kept in the transaction of the change, so there is never one without the other. It holds tokens, so it is
kept sealed (AES-256-GCM) under a key that only this service and the sender's own key can derive; of the request only a
keyed hash is kept.
"""

import hashlib
import hmac
import os
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from usercenter.db import Transaction

_NONCE_BYTES: Final = 12
LONGEST_KEY: Final = 255


class KeyReused(Exception):
    """The key was used before for a different request."""


class Answer(msgspec.Struct, frozen=True):
    """A status and a JSON body, byte for byte."""

    status: int
    body: bytes


class IdempotencyKeys:
    """Remembers answers by the sender's key. `derive(purpose, salt=…)` makes secret keys, the same in every process."""

    def __init__(self, derive: Callable[..., bytes]) -> None:
        self._derive = derive
        self._fingerprint_key = derive("idempotency fingerprint")

    async def find(self, tx: Transaction, *, scope: str, key: str, request: bytes) -> Answer | None:
        """The answer that this key got before. Raises KeyReused when it belonged to another request."""
        row = await tx.fetch_one(
            "select request_hash, status, answer from idempotency_keys where scope = %s and key_hash = %s",
            (scope, self._hash(key.encode())),
        )
        if row is None:
            return None
        if not hmac.compare_digest(row[0], self._hash(request)):
            raise KeyReused("this Idempotency-Key was used for a different request: use a new key for each operation")
        return Answer(row[1], self._open(key, row[2]))

    async def claim(self, tx: Transaction, *, scope: str, key: str, request: bytes) -> Answer | None:
        """Take the key for this transaction, or return the answer that it already has.

        Waits while another request with the same key is under way. Raises KeyReused.
        """
        cursor = await tx.execute(
            "insert into idempotency_keys (scope, key_hash, request_hash, status, answer) "
            "values (%s, %s, %s, 0, '') on conflict do nothing",
            (scope, self._hash(key.encode()), self._hash(request)),
        )
        return None if cursor.rowcount else await self.find(tx, scope=scope, key=key, request=request)

    async def keep(self, tx: Transaction, answer: Answer, *, scope: str, key: str) -> None:
        """Keep the answer under the claimed key. Does not commit."""
        await tx.execute(
            "update idempotency_keys set status = %s, answer = %s where scope = %s and key_hash = %s",
            (answer.status, self._seal(key, answer.body), scope, self._hash(key.encode())),
        )

    def _hash(self, data: bytes) -> bytes:
        return hmac.new(self._fingerprint_key, data, hashlib.sha256).digest()

    def _seal(self, key: str, body: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher(key).encrypt(nonce, body, None)

    def _open(self, key: str, sealed: bytes) -> bytes:
        return self._cipher(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)

    def _cipher(self, key: str) -> AESGCM:
        return AESGCM(self._derive("idempotency answer", salt=key.encode()))


async def forget_older_than(tx: Transaction, *, hours: int) -> int:
    """Delete keys past their retention; returns how many. Does not commit."""
    cursor = await tx.execute(
        "delete from idempotency_keys where created_at < now() - make_interval(hours => %s)", (hours,)
    )
    return cursor.rowcount
