"""Everything that can be done with a user: one function per verb.

Changes take the open transaction and do not commit; each tells the world through the outbox in that same transaction.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from usercenter.clock import Clock
from usercenter.config.model import Accounts
from usercenter.db import Transaction
from usercenter.events import Origin, UserLoggedIn, UserRegistered, new_id
from usercenter.messaging import outbox
from usercenter.users import names, queries
from usercenter.users.errors import (
    AccountNotActive,
    EmailTaken,
    InvalidFields,
    Problem,
    TokenInvalid,
    UsernameTaken,
    WrongCredentials,
)
from usercenter.users.model import Draft, Session, User
from usercenter.users.passwords import check_password
from usercenter.users.tokens import Claims, hash_refresh_token, new_refresh_token


def problems_of(settings: Accounts, fields: Mapping[str, Any]) -> list[Problem]:
    """Everything that is wrong with those fields of a registration that are given."""
    checks: dict[str, Callable[[Any], Problem | None]] = {
        "username": names.check_username,
        "email": lambda email: names.check_email(email)[1],
        "password": lambda password: check_password(password, settings),
        "first_name": lambda name: names.check_personal_name("first_name", name),
        "last_name": lambda name: names.check_personal_name("last_name", name),
        "phone": names.check_phone,
    }
    given = ((check, fields.get(field)) for field, check in checks.items())
    return [problem for check, value in given if value is not None and (problem := check(value))]


def draft_of(settings: Accounts, *, username: str, email: str, password: str, **optional: str | None) -> Draft:
    """A registration that follows every rule, in normal form. Raises InvalidFields with every problem there is."""
    fields = {"username": username, "email": email, "password": password, **optional}
    if found := problems_of(settings, fields):
        raise InvalidFields(found)
    normal_email, _ = names.check_email(email)
    return Draft(
        username=username,
        username_key=names.key_of(username),
        email=normal_email,
        email_key=names.key_of(normal_email),
        password=password,
        **optional,
    )


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
        id=new_id(),
        timestamp=now,
        request_id=origin.request_id,
        user_id=user.id,
        actor=str(user.id),
        sequence=user.sequence,
        username=user.username,
        email=user.email,
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


async def log_in(tx: Transaction, user_id: UUID, *, password_hash: str, origin: Origin, clock: Clock) -> User:
    """Note that this user proved to know the password behind this hash, and tell the world.

    Does not commit. Raises WrongCredentials when the password was changed meanwhile, AccountNotActive.
    """
    user = await queries.advance(tx, user_id, password_hash=password_hash)
    if user is None:
        raise WrongCredentials("the password was changed a moment ago: use the new one")
    if not user.is_active:
        raise AccountNotActive(user.status)
    event = UserLoggedIn(
        id=new_id(),
        timestamp=clock.now(),
        request_id=origin.request_id,
        user_id=user.id,
        actor=str(user.id),
        sequence=user.sequence,
        username=user.username,
        email=user.email,
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
    )
    await outbox.add(tx, event, traceparent=origin.traceparent)
    return user


async def open_session(tx: Transaction, user: User, *, days: int, origin: Origin, clock: Clock) -> Session:
    """A session of this user with its refresh token. Does not commit."""
    token, now = new_refresh_token(), clock.now()
    session = Session(
        id=new_id(), user_id=user.id, refresh_token=token, created_at=now, expires_at=now + timedelta(days=days)
    )
    await queries.insert_session(
        tx,
        session,
        token_hash=hash_refresh_token(token),
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
    )
    return session


async def renew_hash(tx: Transaction, user_id: UUID, *, old: str, new: str) -> None:
    """Keep the same password under today's hashing parameters; nobody has to be told. Does not commit."""
    await queries.replace_password_hash(tx, user_id, old=old, new=new)


async def owner_of(tx: Transaction, claims: Claims, *, clock: Clock) -> User:
    """The user behind a checked access token. Raises TokenInvalid when the session or the account has ended."""
    user = await queries.find_by_session(tx, user_id=claims.user_id, session_id=claims.session_id, now=clock.now())
    if user is None or not user.is_active:
        raise TokenInvalid("the session has ended: log in again")
    return user
