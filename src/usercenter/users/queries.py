"""The statements about users and sessions. None of them commits."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from usercenter.db import Transaction
from usercenter.users.model import Draft, Session, User

_COLUMNS: Final = ", ".join(User.__struct_fields__)


async def insert(tx: Transaction, draft: Draft, *, id: UUID, password_hash: str, now: datetime) -> User | None:  # noqa: A002
    """The new user, or None when its name or address is taken; waits for another registration that is under way."""
    row = await tx.fetch_one(
        f"""
        insert into users (id, username, username_key, email, email_key, password_hash, first_name, last_name, phone,
            locale, sequence, created_at, updated_at)
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 1, %s, %s)
        on conflict do nothing returning {_COLUMNS}
        """,
        (
            id,
            draft.username,
            draft.username_key,
            draft.email,
            draft.email_key,
            password_hash,
            draft.first_name,
            draft.last_name,
            draft.phone,
            draft.locale,
            now,
            now,
        ),
    )
    return _user(row) if row else None


async def is_username_taken(tx: Transaction, username_key: str) -> bool:
    """Whether an account has this name."""
    return await tx.fetch_one("select 1 from users where username_key = %s", (username_key,)) is not None


async def find_credentials(tx: Transaction, *, field: str, key: str) -> tuple[UUID, str] | None:
    """The id and password hash of the user with this username or email key."""
    if field == "email":
        row = await tx.fetch_one("select id, password_hash from users where email_key = %s", (key,))
    else:
        row = await tx.fetch_one("select id, password_hash from users where username_key = %s", (key,))
    return (row[0], row[1]) if row else None


async def advance(tx: Transaction, user_id: UUID, *, password_hash: str) -> User | None:
    """Lock the user, raise its sequence and return it; None when it is gone or has another password by now."""
    row = await tx.fetch_one(
        f"update users set sequence = sequence + 1 where id = %s and password_hash = %s returning {_COLUMNS}",
        (user_id, password_hash),
    )
    return _user(row) if row else None


async def replace_password_hash(tx: Transaction, user_id: UUID, *, old: str, new: str) -> None:
    """The same password under today's parameters: no change that anybody has to be told of."""
    await tx.execute("update users set password_hash = %s where id = %s and password_hash = %s", (new, user_id, old))


async def insert_session(
    tx: Transaction, session: Session, *, token_hash: bytes, ip_address: str | None, user_agent: str | None
) -> None:
    """Keep a session."""
    await tx.execute(
        "insert into sessions (id, user_id, refresh_token_hash, created_at, expires_at, ip_address, user_agent) "
        "values (%s, %s, %s, %s, %s, %s, %s)",
        (session.id, session.user_id, token_hash, session.created_at, session.expires_at, ip_address, user_agent),
    )


async def find_by_session(tx: Transaction, *, user_id: UUID, session_id: UUID, now: datetime) -> User | None:
    """The user, if this session of theirs is open."""
    row = await tx.fetch_one(
        f"""
        select {_COLUMNS} from users where id = %s and exists (
            select 1 from sessions s
            where s.id = %s and s.user_id = users.id and s.ended_at is null and s.expires_at > %s
        )
        """,
        (user_id, session_id, now),
    )
    return _user(row) if row else None


def _user(row: tuple[Any, ...]) -> User:
    return User(**dict(zip(User.__struct_fields__, row, strict=True)))
