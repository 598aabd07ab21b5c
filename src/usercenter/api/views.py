"""What goes in and out of `/api/v1/users`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from usercenter.api.reading import Request
from usercenter.config.model import Accounts
from usercenter.users import service
from usercenter.users.errors import Problem
from usercenter.users.model import Status, User

Locale = Literal["en", "zh-CN"]


def _text(description: str) -> msgspec.Meta:
    """What the OpenAPI description says of a text; the rules are those of `users`."""
    return msgspec.Meta(extra_json_schema={"description": description})


_USERNAME = _text("3 to 32 letters a–z, digits, `.`, `_`, `-` or Han characters; case does not tell names apart.")
_EMAIL = _text("An address of at most 254 characters; case does not tell addresses apart.")
_PASSWORD = _text("8 to 128 characters of any kind, where the service is not configured otherwise.")
_PERSONAL = _text("1 to 100 characters that can be printed on one line.")
_PHONE = _text("E.164, like +4915112345678.")


class RegisterRequest(Request, frozen=True, kw_only=True):
    """A wish to open an account."""

    username: Annotated[str, _USERNAME]
    email: Annotated[str, _EMAIL]
    password: Annotated[str, _PASSWORD]
    first_name: Annotated[str | None, _PERSONAL] = None
    last_name: Annotated[str | None, _PERSONAL] = None
    phone: Annotated[str | None, _PHONE] = None
    locale: Locale | None = None

    @classmethod
    def problems(cls, values: Mapping[str, Any], accounts: Accounts) -> list[Problem]:
        return service.problems_of(accounts, values)

    def __repr__(self) -> str:
        return "RegisterRequest(…)"  # it holds a password


class LoginRequest(Request, frozen=True, kw_only=True):
    """A username or an address, and the password."""

    password: str
    username: str | None = None
    email: str | None = None

    @classmethod
    def problems(cls, values: Mapping[str, Any], accounts: Accounts) -> list[Problem]:
        del accounts
        names = {field: values[field] for field in ("username", "email") if values.get(field) is not None}
        if len(names) != 1:
            return [Problem("email", "missing", "give either email or username")]
        return [
            Problem(field, "character", "the character U+0000 is not allowed")
            for field, name in names.items()
            if "\x00" in name
        ]

    def __repr__(self) -> str:
        return "LoginRequest(…)"  # it holds a password


class UserView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A user as its owner sees it."""

    id: UUID
    username: str
    email: str
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    locale: str | None = None
    status: Status
    is_active: bool
    email_verified: bool
    created_at: datetime
    updated_at: datetime
    sequence: int

    @classmethod
    def of(cls, user: User) -> "UserView":
        """The view of a user."""
        return cls(is_active=user.is_active, **msgspec.structs.asdict(user))


class SignedIn(msgspec.Struct, kw_only=True):
    """A user with the tokens of a new session."""

    user: UserView
    token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  # the scheme of RFC 6750
    expires_in: int
    """Seconds until `token` has to be refreshed."""
    message: str


class Me(msgspec.Struct):
    """The caller."""

    user: UserView
