"""A user, as the rest of the code sees one."""

from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

Status = Literal["active", "inactive", "suspended", "deleted"]
Role = Literal["user", "admin", "auditor"]


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One account. `sequence` is its version number: it grows with every event about it."""

    id: UUID
    username: str
    email: str
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    locale: str | None = None
    status: Status = "active"
    role: Role = "user"
    email_verified: bool = False
    created_at: datetime
    updated_at: datetime
    sequence: int = 1

    @property
    def is_active(self) -> bool:
        """Whether its owner may log in."""
        return self.status == "active"


class Credentials(NamedTuple):
    """A user as seen at one moment, and the hash of the password."""

    user: User
    password_hash: str


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An account that somebody asks for: checked and normalised, not yet opened."""

    username: str
    username_key: str
    email: str
    email_key: str
    password: str
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    locale: str | None = None

    def __repr__(self) -> str:
        return "Draft(…)"  # it holds a password

    __str__ = __repr__


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A login that lasts, of whoever holds its refresh token."""

    id: UUID
    refresh_token: str
    created_at: datetime
    expires_at: datetime
