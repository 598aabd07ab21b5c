"""Everything that can be done with a user: one function per verb.

Changes take the open transaction and do not commit; each tells the world through the outbox in that same transaction.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
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
from usercenter.users.model import Credentials, Draft, Session, Status, User
from usercenter.users.settings import UserSettings

_MAY_FOLLOW: Final[dict[Status, frozenset[Status]]] = {
    "active": frozenset({"inactive", "suspended"}),
    "inactive": frozenset({"active", "suspended"}),
    "suspended": frozenset({"active", "inactive"}),
    "deleted": frozenset(),
}

_PLAIN: Final = frozenset({"first_name", "last_name", "phone"})
"""Fields that stand in the user's row and nowhere else."""


async def register(
    tx: Transaction,
    draft: Draft,
    *,
    password_hash: str,
    origin: Origin,
    clock: Clock,
    session: Session | None = None,
) -> User:
    """Open an account, perhaps with a first session, and tell the world: all of it is kept, or nothing.

    One statement, so `Database.at_once` will do. Does not commit. Raises UsernameTaken, EmailTaken.
    """
    now = clock.now()
    user = User(
        id=new_id(),
        username=draft.username,
        email=draft.email,
        first_name=draft.first_name,
        last_name=draft.last_name,
        phone=draft.phone,
        locale=draft.locale,
        created_at=now,
        updated_at=now,
    )
    event = UserRegistered(
        **_about(user, origin, now, actor=str(user.id)),
        first_name=user.first_name,
        last_name=user.last_name,
        locale=user.locale,
    )
    values = queries.values_of_draft(draft) | queries.values_of_session(session, origin)
    values |= {"id": user.id, "password_hash": password_hash, "now": now}
    if await outbox.add_with(tx, queries.INSERT, values, event, traceparent=origin.traceparent):
        return user
    if await queries.is_username_taken(tx, draft.username_key):
        raise UsernameTaken("this username is taken: choose another one")
    raise EmailTaken("an account with this address exists: log in, or reset its password")


async def find_credentials(tx: Transaction, *, username: str | None, email: str | None) -> Credentials | None:
    """Who is behind a name or an address, with the password hash; None when there is no such user."""
    field, key = looked_up(username=username, email=email)
    return await queries.find_credentials(tx, field=field, key=key)


def looked_up(*, username: str | None, email: str | None) -> tuple[Literal["email", "username"], str]:
    """By what a user is found who is called so, and the key in it."""
    if email is not None:
        normal_email, _ = names.check_email(email)
        return "email", names.key_of(normal_email)
    return "username", names.key_of(username or "")


async def log_in(
    tx: Transaction,
    user_id: UUID,
    *,
    password_hash: str,
    session: Session,
    origin: Origin,
    clock: Clock,
    new_hash: str | None = None,
) -> User:
    """Begin a session of this user, who proved to know the password behind this hash, and tell the world.

    `new_hash` is of the same password, under today's hashing parameters. Does not commit. Raises WrongCredentials when
    the password was changed meanwhile, AccountNotActive.
    """
    found = await queries.lock_credentials(tx, user_id)
    if found is None or found.password_hash != password_hash:
        raise WrongCredentials("the password was changed a moment ago: use the new one")
    user = await log_in_as_seen(tx, found, session=session, origin=origin, clock=clock, new_hash=new_hash)
    if user is None:
        raise LookupError(f"user {user_id} is another one, although it was locked")
    return user


async def log_in_as_seen(
    tx: Transaction,
    seen: Credentials,
    *,
    session: Session,
    origin: Origin,
    clock: Clock,
    new_hash: str | None = None,
) -> User | None:
    """As `log_in`, in one statement (`Database.at_once` will do), if the user is still the one that was seen.

    Otherwise nothing has happened, and None is returned. Raises AccountNotActive.
    """
    if not seen.user.is_active:
        raise AccountNotActive(seen.user.status)
    user = msgspec.structs.replace(seen.user, sequence=seen.user.sequence + 1)
    event = UserLoggedIn(
        **_about(user, origin, clock.now(), actor=str(user.id)),
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
        session_id=session.id,
    )
    values = {"id": user.id, "seen": seen.user.sequence, "password_hash": seen.password_hash}
    values |= {"new_hash": new_hash or seen.password_hash, **queries.values_of_session(session, origin)}
    tx.tell_after_commit(user.id)
    found = await outbox.add_with(tx, queries.LOG_IN, values, event, traceparent=origin.traceparent)
    return user if found else None


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
    effective = _effective(user, changes)
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


async def update_as_seen(
    tx: Transaction,
    seen: User,
    changes: Mapping[str, Any],
    *,
    origin: Origin,
    clock: Clock,
    expected_sequence: int | None = None,
) -> User | None:
    """As `update`, in one statement (`Database.at_once` will do), if the user is still the one that was seen.

    Otherwise, and where a change needs more than one statement, nothing has happened, and None is returned.
    """
    effective = _effective(seen, changes)
    if expected_sequence not in {None, seen.sequence} or not effective.keys() <= _PLAIN:
        return None
    if not effective:
        return seen
    now = clock.now()
    user = msgspec.structs.replace(seen, **effective, sequence=seen.sequence + 1, updated_at=now)
    event = UserUpdated(**_about(user, origin, now), changes=effective)
    values = {**effective, "now": now, "id": seen.id, "seen": seen.sequence}
    tx.tell_after_commit(seen.id)
    change = queries.change_of_seen(*effective)
    found = await outbox.add_with(tx, change, values, event, traceparent=origin.traceparent)
    return user if found else None


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


async def _locked(tx: Transaction, user_id: UUID, expected_sequence: int | None = None) -> User:
    user = await queries.lock(tx, user_id)
    if user is None:
        raise UserNotFound("there is no such user (any more)")
    if expected_sequence is not None and user.sequence != expected_sequence:
        raise VersionConflict(f"the user is at version {user.sequence} by now: look again, and decide anew")
    return user


def _effective(user: User, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if getattr(user, name) != value}


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
