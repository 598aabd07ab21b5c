"""The six things that happen to a user."""

from typing import ClassVar, Final
from uuid import UUID

from usercenter.events.envelope import Event, Personal, PersonalFacts


class UserEvent(Event, frozen=True, kw_only=True):
    """A fact about a user, published on `user.events`. A company's own events inherit from it."""

    stream: ClassVar[str] = "user_events"


class UserRegistered(UserEvent, type="user.registered", frozen=True, kw_only=True):
    """An account was opened."""

    username: Personal
    email: Personal
    first_name: Personal | None = None
    last_name: Personal | None = None
    locale: str | None = None


class UserLoggedIn(UserEvent, type="user.logged_in", frozen=True, kw_only=True):
    """The user proved to be the user, and a session began."""

    username: Personal
    email: Personal
    ip_address: Personal | None = None
    user_agent: Personal | None = None
    session_id: UUID | None = None
    """The session that began."""


class UserPasswordChanged(UserEvent, type="user.password_changed", frozen=True, kw_only=True):
    """The user has a new password."""

    username: Personal
    email: Personal
    ip_address: Personal | None = None


class UserStatusChanged(UserEvent, type="user.status_changed", frozen=True, kw_only=True):
    """The account was activated, suspended or closed."""

    username: Personal
    email: Personal
    old_status: str
    new_status: str
    reason: str | None = None


class UserDeleted(UserEvent, type="user.deleted", frozen=True, kw_only=True):
    """The account is gone; personal data is purged after it."""

    outlives_erasure: ClassVar[bool] = True

    username: Personal
    email: Personal
    deleted_by: str | None = None


class UserUpdated(UserEvent, type="user.updated", frozen=True, kw_only=True):
    """Data of the account changed; `changes` holds the new values by field."""

    username: Personal
    email: Personal
    changes: PersonalFacts
    old_email: Personal | None = None
    """The address until now, where `changes` has a new one."""


USER_EVENTS: Final = (
    UserRegistered,
    UserLoggedIn,
    UserPasswordChanged,
    UserStatusChanged,
    UserDeleted,
    UserUpdated,
)
