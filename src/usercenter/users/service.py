"""Everything that can be done with a user: one function per verb.

Changes take the open transaction and do not commit; each tells the world through the outbox in that same transaction.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg

from usercenter.clock import Clock
from usercenter.config.model import Accounts
from usercenter.db import Transaction
from usercenter.events import (
    Origin,
    UserDeleted,
    UserLoggedIn,
    UserPasswordChanged,
    UserRegistered,
    UserStatusChanged,
    UserUpdated,
    new_id,
)
from usercenter.messaging import outbox
from usercenter.users import names, queries, sessions, settings
from usercenter.users.errors import (
    AccountNotActive,
    EmailTaken,
    StatusImpossible,
    UsernameTaken,
    UserNotFound,
    VersionConflict,
    WrongCredentials,
    WrongPassword,
)
from usercenter.users.model import Draft, Status, User
from usercenter.users.settings import UserSettings

_MAY_FOLLOW: Final[dict[Status, frozenset[Status]]] = {
    "active": frozenset({"inactive", "suspended"}),
    "inactive": frozenset({"active", "suspended"}),
    "suspended": frozenset({"active", "inactive"}),
    "deleted": frozenset(),
}


async def register(tx: Transaction, draft: Draft, *, password_hash: str, origin: Origin, clock: Clock) -> User:
    """Open an account and tell the world: both are kept, or neither.

    Does not commit. Raises UsernameTaken, EmailTaken.
    """
    now = clock.now()
    user = await queries.insert(tx, draft, id=new_id(), password_hash=password_hash, now=now)
    if user is None:
        if await queries.is_username_taken(tx, draft.username_key):
            raise UsernameTaken("this username is taken: choose another one")
        raise EmailTaken("an account with this address exists: log in, or reset its password")
    event = UserRegistered(
        **_about(user, origin, now, actor=str(user.id)),
        first_name=user.first_name,
        last_name=user.last_name,
        locale=user.locale,
    )
    await outbox.add(tx, event, traceparent=origin.traceparent)
    return user


async def find_credentials(tx: Transaction, *, username: str | None, email: str | None) -> tuple[UUID, str] | None:
    """The id and password hash behind a name or an address, None when there is no such user."""
    if email is not None:
        normal_email, _ = names.check_email(email)
        return await queries.find_credentials(tx, field="email", key=names.key_of(normal_email))
    return await queries.find_credentials(tx, field="username", key=names.key_of(username or ""))


async def log_in(
    tx: Transaction, user_id: UUID, *, password_hash: str, session_id: UUID, origin: Origin, clock: Clock
) -> User:
    """Note that this user proved to know the password behind this hash, and tell the world.

    The caller opens the session with this id in the same transaction.

    Does not commit. Raises WrongCredentials when the password was changed meanwhile, AccountNotActive.
    """
    user = await queries.advance(tx, user_id, password_hash=password_hash)
    if user is None:
        raise WrongCredentials("the password was changed a moment ago: use the new one")
    if not user.is_active:
        raise AccountNotActive(user.status)
    event = UserLoggedIn(
        **_about(user, origin, clock.now(), actor=str(user.id)),
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
        session_id=session_id,
    )
    await outbox.add(tx, event, traceparent=origin.traceparent)
    return user


async def prove(tx: Transaction, user_id: UUID, *, password_hash: str) -> User:
    """Lock the user, who proved a moment ago to know the password behind this hash, and return it.

    Raises UserNotFound, AccountNotActive, and WrongPassword when the password was changed meanwhile.
    """
    user = await _locked(tx, user_id)
    if not user.is_active:
        raise AccountNotActive(user.status)
    if await queries.password_hash_of(tx, user_id) != password_hash:
        raise WrongPassword("the password was changed a moment ago: use the new one")
    return user


async def change_password(
    tx: Transaction,
    user_id: UUID,
    *,
    old_hash: str,
    new_hash: str,
    keep_session: UUID | None,
    origin: Origin,
    clock: Clock,
) -> User:
    """Give the user another password, end the other sessions, and tell the world.

    One-time tokens that are under way lose their power: whoever asked for them may be the reason for the change. Does
    not commit. Raises UserNotFound, AccountNotActive, and WrongPassword when the password was changed meanwhile.
    """
    await prove(tx, user_id, password_hash=old_hash)
    now = clock.now()
    await queries.void_one_time_tokens(tx, user_id, now=now)
    user = await queries.change(tx, user_id, now=now, password_hash=new_hash)
    await sessions.end_all(tx, user_id, reason="password_changed", now=now, keep=keep_session)
    event = UserPasswordChanged(**_about(user, origin, now), ip_address=origin.ip_address)
    await outbox.add(tx, event, traceparent=origin.traceparent)
    return user


async def change_status(
    tx: Transaction,
    user_id: UUID,
    *,
    status: Status,
    reason: str | None,
    origin: Origin,
    clock: Clock,
    expected_sequence: int | None = None,
) -> User:
    """Activate, deactivate or suspend an account, end its sessions unless it is active, and tell the world.

    The present status once more changes nothing and tells nobody. Spares no last admin: `roles` does. Does not commit.
    Raises UserNotFound, VersionConflict, StatusImpossible.
    """
    user = await _locked(tx, user_id, expected_sequence)
    if user.status == status:
        return user
    if status not in _MAY_FOLLOW[user.status]:
        allowed = ", ".join(sorted(_MAY_FOLLOW[user.status]))
        raise StatusImpossible(f"{status} cannot follow {user.status}: {allowed} can; to delete an account, delete it")
    now, old = clock.now(), user.status
    user = await queries.change(tx, user_id, now=now, status=status)
    if not user.is_active:
        await sessions.end_all(tx, user_id, reason=f"status_{status}", now=now)
    event = UserStatusChanged(**_about(user, origin, now), old_status=old, new_status=status, reason=reason)
    await outbox.add(tx, event, traceparent=origin.traceparent)
    return user


async def update(
    tx: Transaction,
    user_id: UUID,
    changes: Mapping[str, Any],
    *,
    origin: Origin,
    clock: Clock,
    expected_sequence: int | None = None,
) -> User:
    """Change fields of the account (checked before, see `drafts.problems_of`) and tell the world what is new.

    What is so already counts as no change, and no change tells nobody. Does not commit. Raises UserNotFound,
    VersionConflict, UsernameTaken, EmailTaken.
    """
    user = await _locked(tx, user_id, expected_sequence)
    effective = {name: value for name, value in changes.items() if getattr(user, name) != value}
    if not effective:
        return user
    now = clock.now()
    keys = {f"{name}_key": names.key_of(effective[name]) for name in ("username", "email") if name in effective}
    old_email = user.email if "email" in effective else None
    try:
        async with tx.savepoint() if keys else nullcontext():  # two trips; only a name or address can be taken
            user = await queries.change(tx, user_id, now=now, **effective, **keys)
    except psycopg.errors.UniqueViolation as error:
        raise _taken(error) from error
    if "email" in effective:
        await queries.void_one_time_tokens(tx, user_id, now=now)  # the old mailbox proves nothing any more
    if "locale" in effective:
        await settings.follow_locale(tx, user_id, user.locale)
    event = UserUpdated(**_about(user, origin, now), changes=effective, old_email=old_email)
    await outbox.add(tx, event, traceparent=origin.traceparent)
    return user


async def change_settings(
    tx: Transaction,
    user_id: UUID,
    fields: Mapping[str, Any],
    *,
    accounts: Accounts,
    origin: Origin,
    clock: Clock,
    is_whole: bool = False,
) -> UserSettings:
    """Change those settings that are given (`is_whole`: the others return to the defaults), and tell the world.

    The language is also the user's own `locale`. No change tells nobody. Does not commit. Raises InvalidFields,
    UserNotFound.
    """
    user = await _locked(tx, user_id)
    present = await settings.of_user(tx, user, accounts)
    wanted = settings.changed(settings.defaults(accounts) if is_whole else present, fields)
    if wanted == present:
        return present
    now = clock.now()
    await settings.write(tx, user_id, wanted, now=now)
    user = await queries.change(tx, user_id, now=now, locale=wanted.locale)
    event = UserUpdated(**_about(user, origin, now), changes={"settings": settings.difference(present, wanted)})
    await outbox.add(tx, event, traceparent=origin.traceparent)
    return wanted


async def delete(
    tx: Transaction,
    user_id: UUID,
    *,
    deleted_by: str,
    origin: Origin,
    clock: Clock,
    expected_sequence: int | None = None,
) -> None:
    """Delete an account: nobody can log in or find it from now on, and its name and address are free again.

    What else is personal is purged by the handlers of the event. Does not commit. Raises UserNotFound, VersionConflict.
    """
    user = await _locked(tx, user_id, expected_sequence)
    now, mark = clock.now(), f"deleted-{user_id}"
    gone = await queries.change(
        tx,
        user_id,
        now=now,
        status="deleted",
        username=mark,
        username_key=mark,
        email=mark,
        email_key=mark,
        password_hash="",
        first_name=None,
        last_name=None,
        phone=None,
    )
    await sessions.end_all(tx, user_id, reason="deleted", now=now)
    about = _about(user, origin, now) | {"sequence": gone.sequence}
    await outbox.add(tx, UserDeleted(**about, deleted_by=deleted_by), traceparent=origin.traceparent)


async def renew_hash(tx: Transaction, user_id: UUID, *, old: str, new: str) -> None:
    """Keep the same password under today's hashing parameters; nobody has to be told. Does not commit."""
    await queries.replace_password_hash(tx, user_id, old=old, new=new)


async def _locked(tx: Transaction, user_id: UUID, expected_sequence: int | None = None) -> User:
    user = await queries.lock(tx, user_id)
    if user is None:
        raise UserNotFound("there is no such user (any more)")
    if expected_sequence is not None and user.sequence != expected_sequence:
        raise VersionConflict(f"the user is at version {user.sequence} by now: look again, and decide anew")
    return user


def _about(user: User, origin: Origin, now: datetime, *, actor: str | None = None) -> dict[str, Any]:
    """What every event of a user says."""
    return {
        "id": new_id(),
        "timestamp": now,
        "request_id": origin.request_id,
        "user_id": user.id,
        "actor": actor or origin.actor,
        "sequence": user.sequence,
        "username": user.username,
        "email": user.email,
    }


def _taken(error: psycopg.errors.UniqueViolation) -> UsernameTaken | EmailTaken:
    if "email" in (error.diag.constraint_name or ""):
        return EmailTaken("an account with this address exists")
    return UsernameTaken("this username is taken: choose another one")
