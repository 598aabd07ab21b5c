"""Pseudonyms: who somebody is to the statistics.

HMAC-SHA256 of the user's id under a key that only the service can derive, as a UUID (version 8, RFC 9562). The same
user has the same pseudonym; without the key nobody can go back, or find the pseudonym of an id.
"""

import hashlib
import hmac
from typing import Final
from uuid import UUID

_VERSION: Final = 0x8000
_VARIANT: Final = 0x8000


class Pseudonyms:
    """Gives pseudonyms under one key (`Tokens.derive_key`)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, user_id: UUID) -> UUID:
        """The pseudonym of a user."""
        number = int.from_bytes(hmac.digest(self._key, user_id.bytes, hashlib.sha256)[:16])
        number = number & ~(0xF000 << 64) | _VERSION << 64
        return UUID(int=number & ~(0xC000 << 48) | _VARIANT << 48)
