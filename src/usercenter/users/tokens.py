"""Access tokens: short-lived JWTs that anybody with the public key can check; and keys for other purposes.

Signed with Ed25519 (RFC 8037, algorithm name of RFC 9864). Refresh tokens are `users/sessions.py`.
"""

from datetime import timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from usercenter.clock import Clock
from usercenter.config.model import Tokens as Settings
from usercenter.users.errors import TokenInvalid

_ALGORITHM: Final = "Ed25519"
_AUDIENCE: Final = "usercenter"
_REMEMBERED: Final = 4_096
"""How many tokens a process remembers to have checked: 2 to 4 MB, once so many are in use."""


class Claims(msgspec.Struct, frozen=True):
    """What a checked access token says."""

    user_id: UUID
    session_id: UUID


class _Checked(msgspec.Struct, frozen=True):
    """A token whose signature and claims are right, until it expires."""

    claims: Claims
    expires: int


class Tokens:
    """Issues and checks, with one key: what it remembers to have checked ends with it."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._key = OKPKey.import_key(settings.private_key)
        self._key_id = self._key.thumbprint()
        self._checked = lru_cache(_REMEMBERED)(self._check)  # a refusal is an exception, which is not remembered

    def issue_access(self, user_id: UUID, session_id: UUID) -> str:
        """A JWT for this session, valid for `tokens.access_minutes`."""
        now = self._clock.now()
        claims: dict[str, Any] = {
            "iss": self._settings.issuer,
            "aud": _AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=self._settings.access_minutes)).timestamp()),
        }
        return jwt.encode({"alg": _ALGORITHM, "kid": self._key_id}, claims, self._key, algorithms=[_ALGORITHM])

    def check_access(self, token: str) -> Claims:
        """What the token says, if it is ours and still valid. Does not look whether the session has been ended.

        The signature of a token is verified once and then remembered, as long as the token lasts and others do not
        push it out. Raises TokenInvalid.
        """
        try:
            checked = self._checked(token)
        except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _invalid() from error
        if checked.expires <= self._clock.now().timestamp():
            raise _invalid()
        return checked.claims

    def _check(self, token: str) -> _Checked:
        claims = jwt.decode(token, self._key, algorithms=[_ALGORITHM]).claims
        jwt.JWTClaimsRegistry(
            now=int(self._clock.now().timestamp()),
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": _AUDIENCE},
            exp={"essential": True},
        ).validate(claims)
        return _Checked(Claims(UUID(claims["sub"]), UUID(claims["sid"])), claims["exp"])

    def derive_key(self, purpose: str, *, salt: bytes = b"") -> bytes:
        """32 secret bytes for another purpose, the same in every process that signs with this key (HKDF-SHA256)."""
        material = self._key.as_bytes(private=True)
        return HKDF(algorithm=SHA256(), length=32, salt=salt, info=purpose.encode()).derive(material)


def _invalid() -> TokenInvalid:
    return TokenInvalid("the access token is not valid (any more): log in again")
