"""The receivers' secrets as they lie in the database: sealed, so that a copy of it signs nothing."""

import os
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from usercenter.webhooks.errors import SecretUnreadable

PURPOSE: Final = "webhook secrets"
_NONCE_BYTES: Final = 12


class Seal:
    """Closes and opens secrets (AES-256-GCM); each is bound to its webhook and opens for no other."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def close(self, webhook_id: UUID, secret: str) -> bytes:
        """The secret as it is kept; different each time."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), webhook_id.bytes)

    def open(self, webhook_id: UUID, sealed: bytes) -> str:
        """The secret again. Raises SecretUnreadable."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], webhook_id.bytes).decode()
        except (InvalidTag, ValueError) as error:
            raise SecretUnreadable(
                "this webhook's secret was sealed under another signing key (tokens.private_key): "
                "rotate the secret, and give the new one to the receiver"
            ) from error

    def opens(self, webhook_id: UUID, sealed: bytes) -> bool:
        """Whether `open` would give a secret."""
        try:
            self.open(webhook_id, sealed)
        except SecretUnreadable:
            return False
        return True
