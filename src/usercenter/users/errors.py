"""What can stand in the way of a change to a user.

UserError
├── InvalidFields        the request itself is wrong; names every field
├── UsernameTaken
├── EmailTaken
├── WrongCredentials     says the same for an unknown user and a wrong password
│   └── WrongPassword        the caller is known, the password that proves it is wrong
├── AccountNotActive     the password was right, the account may not be used
├── TokenInvalid         unknown, expired, forged, or of an ended session
├── UserNotFound         there is no such user (any more)
├── SessionNotFound      the user has no such open session
├── VersionConflict      the user was changed since the caller looked
├── StatusImpossible     that status cannot follow the present one
├── LastAdmin            nobody would be left to administrate
├── NotAllowed           the caller's role does not permit it
└── TooManyRequests      asked for more often than the service bears
"""

from collections.abc import Sequence

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One wrong field: which, a code for programs, and a sentence for people that says what is allowed."""

    field: str
    code: str
    message: str


class UserError(Exception):
    """The change was not made, nothing was stored, and the reason is the caller's to mend."""


class InvalidFields(UserError):
    """Fields of the request that are not as they must be."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(
            "; ".join(f"{each.field}: {each.message}" if each.field else each.message for each in problems)
        )
        self.problems = list(problems)


class UsernameTaken(UserError):
    """Another account has this username; case does not tell names apart."""


class EmailTaken(UserError):
    """Another account has this address; case does not tell addresses apart."""


class WrongCredentials(UserError):
    """No account has this name or address with this password."""


class WrongPassword(WrongCredentials):
    """The caller is known, but has not proved it by the present password."""


class AccountNotActive(UserError):
    """The account is suspended, inactive or deleted."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the account is {status}")
        self.status = status


class TokenInvalid(UserError):
    """The token gives no access (any more); log in again."""


class UserNotFound(UserError):
    """There is no user with this id (any more)."""


class SessionNotFound(UserError):
    """The user has no open session with this id (any more)."""


class VersionConflict(UserError):
    """The user was changed since the caller looked at it: look again, and decide anew."""


class StatusImpossible(UserError):
    """The status that was asked for cannot follow the present one."""


class LastAdmin(UserError):
    """Nobody would be left to administrate."""


class NotAllowed(UserError):
    """The caller's role does not permit this."""


class TooManyRequests(UserError):
    """It was asked for too often; `retry_after_seconds` says when it may be asked for again."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
