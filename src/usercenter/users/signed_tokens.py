"""Opaque tokens that name something of ours and that only we can make: refresh tokens and one-time tokens.

A token is an id and a number, authenticated by HMAC-SHA256 under a key that is derived from the signing key. So the
database stores no secret, and whoever must hand out a token later (the mail of a password reset) makes it from the id.
"""

import base64
import hashlib
import hmac
from typing import Final
from uuid import UUID

from usercenter.users.errors import TokenInvalid

_MAC_BYTES: Final = 32
_NUMBER_BYTES: Final = 4


class SignedTokens:
    """Makes and reads the tokens of one purpose; each purpose has a key of its own (`Tokens.derive_key`)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, id: UUID, number: int = 0) -> str:
        """The token for this id and number: the same one each time."""
        named = id.bytes + number.to_bytes(_NUMBER_BYTES)
        return base64.urlsafe_b64encode(named + self._mac(named)).rstrip(b"=").decode()

    def read(self, token: str) -> tuple[UUID, int]:
        """Id and number of a token that we made. Raises TokenInvalid."""
        try:
            raw = base64.urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4))
        except ValueError:
            raw = b""
        named, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(named) != len(UUID(int=0).bytes) + _NUMBER_BYTES or not hmac.compare_digest(mac, self._mac(named)):
            raise TokenInvalid("this token is not one of ours, or was cut: ask for a new one")
        return UUID(bytes=named[:-_NUMBER_BYTES]), int.from_bytes(named[-_NUMBER_BYTES:])

    def _mac(self, named: bytes) -> bytes:
        return hmac.new(self._key, named, hashlib.sha256).digest()
