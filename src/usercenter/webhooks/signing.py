"""Signatures by the Standard Webhooks specification: HMAC-SHA256 over id, time and body, one for each secret."""

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

PREFIX: Final = "whsec_"
_NEW_BYTES: Final = 32
_FEWEST_BYTES: Final = 24
_MOST_BYTES: Final = 64
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}\Z")


def new_secret() -> str:
    """A fresh secret as receivers configure it: `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(os.urandom(_NEW_BYTES)).decode()


def is_secret(text: str) -> bool:
    """Whether this is `whsec_` and 24 to 64 bytes in base64."""
    encoded = text.removeprefix(PREFIX)
    if encoded == text or not _BASE64.match(encoded) or len(encoded) % 4:
        return False
    return _FEWEST_BYTES <= len(base64.b64decode(encoded)) <= _MOST_BYTES


def signed_headers(id: UUID, timestamp: datetime, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The three headers by which a receiver knows the sender and the moment; `id` is the same at every attempt."""
    seconds = str(int(timestamp.timestamp()))
    signed = b".".join((str(id).encode(), seconds.encode(), body))
    return {
        "webhook-id": str(id),
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(_signature(secret, signed) for secret in secrets),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
