"""The statements about users and sessions. None of them commits."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, Literal, LiteralString, cast
from uuid import UUID

import msgspec

from usercenter.db import Transaction
from usercenter.events import Origin
from usercenter.users import guess_queries
from usercenter.users.copies import Owner
from usercenter.users.guess_queries import Counts
from usercenter.users.model import Credentials, Draft, Session, User

_COLUMNS: Final = ", ".join(User.__struct_fields__)


_OPENED: Final = """
opened as (
    insert into sessions (id, user_id, created_at, expires_at, ip_address, user_agent)
    select %(session_id)s::uuid, id, %(session_from)s, %(session_until)s, %(ip_address)s, %(user_agent)s from changed
    where %(session_id)s::uuid is not null
)
"""

INSERT: Final = f"""
changed as (
    insert into users (id, username, username_key, email, email_key, password_hash, first_name, last_name, phone,
        locale, sequence, created_at, updated_at)
    values (%(id)s, %(username)s, %(username_key)s, %(email)s, %(email_key)s, %(password_hash)s, %(first_name)s,
        %(last_name)s, %(phone)s, %(locale)s, 1, %(now)s, %(now)s)
    on conflict do nothing returning id
), {_OPENED}
"""
"""A new user, perhaps with a session, unless the name or address is taken; waits for others who are about to take it.

This and the next one are for `outbox.add_with`.
"""

LOG_IN: Final = f"""
changed as (
    update users set sequence = sequence + 1, password_hash = %(new_hash)s
    where id = %(id)s and sequence = %(seen)s and password_hash = %(password_hash)s returning id
), {_OPENED}
"""
"""The next version of a user, with a session, unless the user is another than the one that was seen."""


def values_of_draft(draft: Draft) -> dict[str, Any]:
    """What INSERT has to know of it: all but the password."""
    return {name: value for name, value in msgspec.structs.asdict(draft).items() if name != "password"}


def values_of_session(session: Session | None, origin: Origin) -> dict[str, Any]:
    """What INSERT and LOG_IN have to know of a session."""
    return {
        "session_id": session and session.id,
        "session_from": session and session.created_at,
        "session_until": session and session.expires_at,
        "ip_address": origin.ip_address,
        "user_agent": origin.user_agent,
    }


async def is_username_taken(tx: Transaction, username_key: str) -> bool:
    """Whether an account has this name."""
    return await tx.fetch_one("select 1 from users where username_key = %s", (username_key,)) is not None


async def find_credentials(tx: Transaction, *, field: Literal["email", "username"], key: str) -> Credentials | None:
    """The user with this username or email key, and the password hash."""
    row = await tx.fetch_one(f"select {_COLUMNS}, password_hash from users where {field}_key = %s", (key,))
    return Credentials(_user(row[:-1]), row[-1]) if row else None


async def find_credentials_counted(
    tx: Transaction, asked: Mapping[str, Any], *, field: Literal["email", "username"], key: str
) -> tuple[Counts, Credentials | None]:
    """As `find_credentials`, and the wrong passwords that were `asked` for, whether there is such a user or not."""
    row = await tx.fetch_one(_counted(f"u.{field}_key = %(key)s"), {**asked, "key": key})
    return _counts_and_credentials(row)


async def credentials_counted(
    tx: Transaction, asked: Mapping[str, Any], user_id: UUID
) -> tuple[Counts, Credentials | None]:
    """As `find_credentials_counted`, of the user with this id; one that was deleted is none."""
    row = await tx.fetch_one(_counted("u.id = %(user)s and u.status <> 'deleted'"), {**asked, "user": user_id})
    return _counts_and_credentials(row)


@cache
def _counted(condition: LiteralString) -> LiteralString:
    columns = cast("list[LiteralString]", [f"u.{column}" for column in User.__struct_fields__])
    return (
        f"select {guess_queries.COUNTS}, {', '.join(columns)}, u.password_hash from {guess_queries.FROM} "
        f"left join users u on {condition}"
    )


def _counts_and_credentials(row: tuple[Any, ...] | None) -> tuple[Counts, Credentials | None]:
    if row is None:
        raise LookupError("the counts are one row, whoever is there")
    counts, user = row[: guess_queries.WIDTH], row[guess_queries.WIDTH :]
    return guess_queries.counts(counts), Credentials(_user(user[:-1]), user[-1]) if user[0] else None


async def find(tx: Transaction, user_id: UUID) -> User | None:
    """The user with this id; one that was deleted is none."""
    row = await tx.fetch_one(f"select {_COLUMNS} from users where id = %s and status <> 'deleted'", (user_id,))
    return _user(row) if row else None


async def find_all(tx: Transaction, user_ids: Sequence[UUID]) -> list[User]:
    """Those of these users that are there; deleted ones are not."""
    rows = await tx.fetch_all(
        f"select {_COLUMNS} from users where id = any(%b::uuid[]) and status <> 'deleted'", (list(user_ids),)
    )
    return [_user(row) for row in rows]


async def lock_credentials(tx: Transaction, user_id: UUID) -> Credentials | None:
    """As `lock`, with the password hash."""
    row = await tx.fetch_one(
        f"select {_COLUMNS}, password_hash from users where id = %s and status <> 'deleted' for update", (user_id,)
    )
    return Credentials(_user(row[:-1]), row[-1]) if row else None


async def lock(tx: Transaction, user_id: UUID) -> User | None:
    """As `find`, and nobody else changes the user until the end of the transaction."""
    row = await tx.fetch_one(
        f"select {_COLUMNS} from users where id = %s and status <> 'deleted' for update", (user_id,)
    )
    return _user(row) if row else None


async def password_hash_of(tx: Transaction, user_id: UUID) -> str | None:
    """The user's password hash."""
    row = await tx.fetch_one("select password_hash from users where id = %s and status <> 'deleted'", (user_id,))
    return str(row[0]) if row else None


async def change(tx: Transaction, user_id: UUID, *, now: datetime, **columns: Any) -> User:
    """Set columns of a locked user, raise its sequence, and return it. Column names come from our own code alone."""
    tx.tell_after_commit(user_id)
    row = await tx.fetch_one(f"{_update(*columns)} returning {_COLUMNS}", {**columns, "now": now, "id": user_id})
    if row is None:
        raise LookupError(f"user {user_id} is not there, although it was locked")
    return _user(row)


@cache
def change_of_seen(*columns: str) -> LiteralString:
    """Sets columns of a user and raises its sequence, unless the user is another than the one that was `seen`.

    For `outbox.add_with`. Column names come from our own code alone.
    """
    return f"changed as ({_update(*columns)} and sequence = %(seen)s returning id)"


@cache
def _update(*columns: str) -> LiteralString:
    """The columns' values, `now` and `id` are parameters of these names."""
    assigned = cast("list[LiteralString]", [f"{name} = %({name})s" for name in columns])
    return f"update users set {', '.join(assigned)}, sequence = sequence + 1, updated_at = %(now)s where id = %(id)s"


class OneTimeToken(msgspec.Struct, frozen=True):
    """Whose it is, and what it is good for."""

    user_id: UUID
    new_email: str | None


async def insert_one_time_token(
    tx: Transaction,
    id: UUID,
    *,
    user_id: UUID,
    purpose: str,
    new_email: str | None,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Keep that a token exists; earlier unused ones of the same purpose lose their power."""
    await void_one_time_tokens(tx, user_id, now=now, purpose=purpose)
    await tx.execute(
        "insert into one_time_tokens (id, user_id, purpose, new_email, created_at, expires_at) "
        "values (%s, %s, %s, %s, %s, %s)",
        (id, user_id, purpose, new_email, now, expires_at),
    )


async def void_one_time_tokens(tx: Transaction, user_id: UUID, *, now: datetime, purpose: str | None = None) -> None:
    """Unused one-time tokens of the locked user, all or those of one purpose, lose their power."""
    await tx.execute(
        "update one_time_tokens set used_at = %s where user_id = %s and used_at is null "
        "and (%s::text is null or purpose = %s)",
        (now, user_id, purpose, purpose),
    )


async def owner_of_one_time_token(tx: Transaction, id: UUID) -> UUID | None:
    """Whose this token is."""
    row = await tx.fetch_one("select user_id from one_time_tokens where id = %s", (id,))
    return row[0] if row else None


async def use_one_time_token(
    tx: Transaction,
    id: UUID,
    *,
    purpose: str,
    now: datetime,
) -> OneTimeToken | None:
    """Use a token up; None when it was used before, has expired, or is for something else."""
    row = await tx.fetch_one(
        "update one_time_tokens set used_at = %s where id = %s and purpose = %s and used_at is null "
        "and expires_at > %s returning user_id, new_email",
        (now, id, purpose, now),
    )
    return OneTimeToken(row[0], row[1]) if row else None


async def find_by_email(tx: Transaction, email_key: str) -> User | None:
    """The user with this address key."""
    row = await tx.fetch_one(f"select {_COLUMNS} from users where email_key = %s and status <> 'deleted'", (email_key,))
    return _user(row) if row else None


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A session as the database has it."""

    id: UUID
    user_id: UUID
    generation: int
    created_at: datetime
    expires_at: datetime
    rotated_at: datetime | None
    last_used_at: datetime | None
    ended_at: datetime | None
    ip_address: str | None
    user_agent: str | None
    is_suspicious: bool

    def is_open(self, now: datetime) -> bool:
        """Whether it still gives access."""
        return self.ended_at is None and self.expires_at > now


_SESSION: Final = ", ".join(SessionRow.__struct_fields__)


async def lock_session(tx: Transaction, session_id: UUID) -> SessionRow | None:
    """A session, locked until the end of the transaction."""
    row = await tx.fetch_one(f"select {_SESSION} from sessions where id = %s for update", (session_id,))
    return _session(row) if row else None


async def sessions_of(tx: Transaction, user_id: UUID, *, now: datetime) -> list[SessionRow]:
    """The open sessions of a user, newest first."""
    rows = await tx.fetch_all(
        f"select {_SESSION} from sessions where user_id = %s and ended_at is null and expires_at > %s order by id desc",
        (user_id, now),
    )
    return [_session(row) for row in rows]


async def next_generation(tx: Transaction, session_id: UUID, *, now: datetime) -> int:
    """Begin the next generation of a session's refresh token; returns its number."""
    row = await tx.fetch_one(
        "update sessions set generation = generation + 1, rotated_at = %s, last_used_at = %s where id = %s "
        "returning generation",
        (now, now, session_id),
    )
    return int(row[0]) if row else 0


async def end_sessions(
    tx: Transaction, user_id: UUID, *, reason: str, now: datetime, only: UUID | None = None, keep: UUID | None = None
) -> int:
    """End open sessions of a user: one, all, or all but one; returns how many."""
    tx.tell_after_commit(user_id)
    cursor = await tx.execute(
        "update sessions set ended_at = %s, ended_reason = %s where user_id = %s and ended_at is null "
        "and (%s::uuid is null or id = %s) and (%s::uuid is null or id <> %s)",
        (now, reason, user_id, only, only, keep, keep),
    )
    return cursor.rowcount


async def forget_sessions(tx: Transaction, *, days: int, at_most: int) -> int:
    """Delete the oldest sessions that expired so many days ago, whether they were ended before; returns how many."""
    cursor = await tx.execute(
        "delete from sessions where id in (select id from sessions "
        "where expires_at < now() - make_interval(days => %s) order by expires_at limit %s)",
        (days, at_most),
    )
    return cursor.rowcount


async def owners_of(tx: Transaction, session_ids: Collection[UUID], *, now: datetime) -> dict[UUID, Owner]:
    """The active users whose sessions these are, by session; of those sessions that are open."""
    rows = await tx.fetch_all(_OWNERS, (list(session_ids), now))
    return {row[0]: Owner(_user(row[2:]), row[1]) for row in rows}


_OWNERS: Final = f"""
    select s.id, s.expires_at, {", ".join(f"u.{column}" for column in User.__struct_fields__)}
    from sessions s join users u on u.id = s.user_id
    where s.id = any(%s) and s.ended_at is null and s.expires_at > %s and u.status = 'active'
"""


def _user(row: tuple[Any, ...]) -> User:
    return User(**dict(zip(User.__struct_fields__, row, strict=True)))


def _session(row: tuple[Any, ...]) -> SessionRow:
    return SessionRow(**dict(zip(SessionRow.__struct_fields__, row, strict=True)))
