"""What goes in and out of `/api/v1/users`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar.openapi.spec import OpenAPIType, Schema
from msgspec import UNSET, UnsetType

from usercenter.api.reading import NO_NUL, Request, text
from usercenter.config.model import Accounts
from usercenter.users.drafts import problems_of
from usercenter.users.errors import Problem
from usercenter.users.model import Role, Status, User

Locale = Literal["en", "zh-CN"]


_USERNAME = text(
    "3 to 32 letters a–z, digits, `.`, `_`, `-` or Han characters; case does not tell names apart.",
    min_length=3,
    max_length=32,
    pattern=r"^[A-Za-z0-9\u3400-\u4dbf\u4e00-\u9fff][A-Za-z0-9._\-\u3400-\u4dbf\u4e00-\u9fff]*$",
)
_EMAIL = text(
    "An address of at most 254 characters; case does not tell addresses apart.", max_length=254, format="email"
)
_PASSWORD = text(
    "8 to 128 characters of any kind, where the service is not configured otherwise.",
    min_length=8,
    max_length=128,
    pattern=NO_NUL,
)
_HIDDEN = (
    "\\x00-\\x1f\\x7f-\\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u08e2\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ue000-\uf8ff\ufeff\ufff0-\uffff"
)
"""Most of what cannot be seen; what is left (planes beyond the first, single code points) is refused all the same."""
_PERSONAL = text(
    "1 to 100 characters that can be printed on one line, not all of them blank.",
    min_length=1,
    max_length=100,
    pattern=f"^[^{_HIDDEN}]*$",
)
_PHONE = text("E.164, like +4915112345678.", pattern=r"^\+[1-9][0-9]{6,14}$")


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
        return problems_of(accounts, values)

    def __repr__(self) -> str:
        return "RegisterRequest(…)"  # it holds a password


class LoginRequest(Request, frozen=True, kw_only=True):
    """A username or an address, and the password."""

    password: str
    username: Annotated[str | None, text("The name.", pattern=NO_NUL)] = None
    email: Annotated[str | None, text("Or the address.", pattern=NO_NUL)] = None

    @classmethod
    def describe(cls, schema: Schema) -> None:
        given, left_out = Schema(type=OpenAPIType.STRING), Schema(type=OpenAPIType.NULL)
        schema.one_of = [
            Schema(required=[name], properties={name: given, other: left_out})
            for name, other in (("username", "email"), ("email", "username"))
        ]

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


class Replacement(Request, frozen=True, kw_only=True):
    """Everything that an owner may change directly; what is left out is cleared."""

    username: Annotated[str, _USERNAME]
    first_name: Annotated[str | None, _PERSONAL] = None
    last_name: Annotated[str | None, _PERSONAL] = None
    phone: Annotated[str | None, _PHONE] = None
    locale: Locale | None = None

    @classmethod
    def problems(cls, values: Mapping[str, Any], accounts: Accounts) -> list[Problem]:
        return problems_of(accounts, values)


class Change(Request, frozen=True, kw_only=True):
    """What is to be different; what is left out stays, null clears."""

    username: Annotated[str, _USERNAME] | UnsetType = UNSET
    first_name: Annotated[str | None, _PERSONAL] | UnsetType = UNSET
    last_name: Annotated[str | None, _PERSONAL] | UnsetType = UNSET
    phone: Annotated[str | None, _PHONE] | UnsetType = UNSET
    locale: Locale | UnsetType | None = UNSET

    @classmethod
    def problems(cls, values: Mapping[str, Any], accounts: Accounts) -> list[Problem]:
        return problems_of(accounts, values)


class PasswordProof(Request, frozen=True, kw_only=True):
    """The present password: proof that it is the owner who asks."""

    password: str

    def __repr__(self) -> str:
        return "PasswordProof(…)"  # it holds a password


class NewPassword(Request, frozen=True, kw_only=True):
    """The present password, and the one to come."""

    old_password: str
    new_password: Annotated[str, _PASSWORD]

    @classmethod
    def problems(cls, values: Mapping[str, Any], accounts: Accounts) -> list[Problem]:
        return _new_password_problems(values, accounts)

    def __repr__(self) -> str:
        return "NewPassword(…)"  # it holds passwords


class NewEmail(Request, frozen=True, kw_only=True):
    """The address to come, and the present password."""

    email: Annotated[str, _EMAIL]
    password: str

    @classmethod
    def problems(cls, values: Mapping[str, Any], accounts: Accounts) -> list[Problem]:
        return problems_of(accounts, {"email": values.get("email")})

    def __repr__(self) -> str:
        return "NewEmail(…)"  # it holds a password


class ForgottenPassword(Request, frozen=True, kw_only=True):
    """The address of an account whose password was forgotten; one that is no address finds none."""

    email: str


class PasswordReset(Request, frozen=True, kw_only=True):
    """The token of a reset mail, and the password to come."""

    token: str
    new_password: Annotated[str, _PASSWORD]

    @classmethod
    def problems(cls, values: Mapping[str, Any], accounts: Accounts) -> list[Problem]:
        return _new_password_problems(values, accounts)

    def __repr__(self) -> str:
        return "PasswordReset(…)"  # it holds a password


class OneTimeToken(Request, frozen=True, kw_only=True):
    """The token of a mail."""

    token: str

    def __repr__(self) -> str:
        return "OneTimeToken(…)"  # it holds a token


class RefreshRequest(Request, frozen=True, kw_only=True):
    """The refresh token that the last answer gave."""

    refresh_token: str

    def __repr__(self) -> str:
        return "RefreshRequest(…)"  # it holds a token


def _new_password_problems(values: Mapping[str, Any], accounts: Accounts) -> list[Problem]:
    found = problems_of(accounts, {"password": values.get("new_password")})
    return [msgspec.structs.replace(problem, field="new_password") for problem in found]


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
    role: Role
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


class Done(msgspec.Struct):
    """What was done, for people."""

    message: str


class Me(msgspec.Struct):
    """The caller."""

    user: UserView
