"""Sessions: logins that last, their refresh tokens, and their end.

A refresh token is a signed token that names its session and its generation. Each refresh begins the next generation.
The token of the generation before is answered again for 30 seconds (the answer may have been lost); after that, using
it ends the session, because two parties hold one token then (RFC 9700, section 4.14.2).
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from usercenter.clock import Clock
from usercenter.db import Transaction
from usercenter.events import new_id
from usercenter.users import queries
from usercenter.users.errors import TokenInvalid
from usercenter.users.model import Session, User
from usercenter.users.signed_tokens import SignedTokens

GRACE: Final = timedelta(seconds=30)


def begun(tokens: SignedTokens, *, days: int, clock: Clock) -> Session:
    """A new session with its refresh token, for `service.register` and `service.log_in` to keep."""
    id_, now = new_id(), clock.now()
    return Session(id=id_, refresh_token=tokens.make(id_, 0), created_at=now, expires_at=now + timedelta(days=days))


async def refresh(tx: Transaction, token: str, tokens: SignedTokens, *, clock: Clock) -> tuple[User, Session] | None:
    """Exchange a refresh token for the next one of its session.

    None means that the token was exchanged before and too long ago: the session is ended, which the caller commits
    before it refuses. Does not commit. Raises TokenInvalid for unknown, expired and ended sessions.
    """
    session_id, generation = tokens.read(token)
    now = clock.now()
    found = await queries.lock_session(tx, session_id)
    if found is None or not found.is_open(now):
        raise TokenInvalid("the session has ended: log in again")
    if generation != found.generation and not _is_in_grace(found, generation, now):
        await end(tx, found.user_id, session_id=session_id, reason="refresh_token_reused", now=now)
        return None
    if generation == found.generation:
        generation = await queries.next_generation(tx, session_id, now=now)
    else:
        generation = found.generation  # the answer was lost: the same one again
    user = await queries.find(tx, found.user_id)
    if user is None or not user.is_active:
        raise TokenInvalid("the account may not be used: ask the support")
    next_token = tokens.make(session_id, generation)
    session = Session(
        id=session_id,
        refresh_token=next_token,
        created_at=found.created_at,
        expires_at=found.expires_at,
    )
    return user, session


async def end(tx: Transaction, user_id: UUID, *, session_id: UUID, reason: str, now: datetime) -> bool:
    """End one session of this user; says whether it was open. Does not commit."""
    return await queries.end_sessions(tx, user_id, reason=reason, now=now, only=session_id) > 0


async def end_all(tx: Transaction, user_id: UUID, *, reason: str, now: datetime, keep: UUID | None = None) -> int:
    """End every session of this user but `keep`; returns how many were open. Does not commit."""
    return await queries.end_sessions(tx, user_id, reason=reason, now=now, keep=keep)


def _is_in_grace(found: queries.SessionRow, generation: int, now: datetime) -> bool:
    is_one_before = generation == found.generation - 1
    return is_one_before and found.rotated_at is not None and now - found.rotated_at <= GRACE
