"""How what was answered is kept so that nobody can read it who did not send the request.

An answer holds tokens, so it is encrypted (AES-256-GCM) under a key that only this service and the sender's own
`Idempotency-Key` together can derive; of that key and of the request only keyed hashes are kept.
"""

import hashlib
import hmac
import os
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES: Final = 12


class SealBroken(Exception):
    """The sealed bytes were changed, or sealed under another key."""


class Sealing:
    """Hashes and seals. `derive(purpose, salt=…)` makes 32 secret bytes, the same in every process."""

    def __init__(self, derive: Callable[..., bytes]) -> None:
        self._derive = derive
        self._hash_key = derive("idempotency fingerprint")

    def hash(self, data: bytes) -> bytes:
        """32 bytes that tell whether two things are the same, and nothing else to whoever lacks the secret."""
        return hmac.new(self._hash_key, data, hashlib.sha256).digest()

    def seal(self, body: bytes, *, key: str) -> bytes:
        """The body, unreadable and unchangeable; other bytes each time."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher(key).encrypt(nonce, body, None)

    def open(self, sealed: bytes, *, key: str) -> bytes:
        """The body again. Raises SealBroken."""
        try:
            return self._cipher(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except (InvalidTag, ValueError) as error:
            raise SealBroken("the kept answer cannot be opened with this key") from error

    def _cipher(self, key: str) -> AESGCM:
        return AESGCM(self._derive("idempotency answer", salt=key.encode()))
