"""A forgotten password, and a new address: what is proved by a token that only the right mailbox gets.

The token itself is in no event and in no table. What travels is its id; the mail's handler makes the token from it.
"""

from datetime import timedelta
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from usercenter.clock import Clock
from usercenter.db import Transaction
from usercenter.events import NotificationRequested, Origin, new_id
from usercenter.messaging import outbox
from usercenter.users import names, queries, service
from usercenter.users.errors import EmailTaken, TokenInvalid
from usercenter.users.guesses import Guesses
from usercenter.users.model import User
from usercenter.users.reset_limits import ResetLimits
from usercenter.users.signed_tokens import SignedTokens

RESET_LIFETIME: Final = timedelta(minutes=30)
EMAIL_CHANGE_LIFETIME: Final = timedelta(hours=24)


async def ask_for_reset(tx: Transaction, email: str, limits: ResetLimits, *, origin: Origin, clock: Clock) -> None:
    """Send a reset mail to this address if an active account has it; the caller learns nothing.

    Nor does one who asks too often for one account, which then gets no further mail. Does not commit. Raises
    TooManyRequests, for what the sender's network has asked for in all.
    """
    await limits.note_request(tx, ip_address=origin.ip_address, now=clock.now())
    normal_email, problem = names.check_email(email)
    found = await queries.find_by_email(tx, names.key_of(normal_email)) if problem is None else None
    user = await queries.lock(tx, found.id) if found is not None else None
    if user is not None and user.is_active and await limits.may_mail(tx, user.id, now=clock.now()):
        await _ask(tx, user, "password_reset", to=user.email, origin=origin, clock=clock, lifetime=RESET_LIFETIME)


async def reset_password(
    tx: Transaction, token: str, tokens: SignedTokens, guesses: Guesses, *, new_hash: str, origin: Origin, clock: Clock
) -> User:
    """Give the owner of a reset token a new password, and end every session. The token works once.

    Wrong passwords for the account's names are forgotten: its owner may log in at once.

    Does not commit. Raises TokenInvalid.
    """
    user, _ = await _use(tx, token, tokens, purpose="password_reset", clock=clock)
    await guesses.forgive(tx, user)
    return await service.change_password(
        tx,
        user.id,
        old_hash=await queries.password_hash_of(tx, user.id) or "",
        new_hash=new_hash,
        keep_session=None,
        origin=replace(origin, actor=str(user.id)),
        clock=clock,
    )


async def ask_for_email_change(tx: Transaction, user: User, new_email: str, *, origin: Origin, clock: Clock) -> None:
    """Send a confirmation mail to the new address; nothing is changed before it is confirmed.

    `user` is locked (`service.prove`), `new_email` is checked and normal. Does not commit. Raises EmailTaken.
    """
    if await queries.find_by_email(tx, names.key_of(new_email)) is not None:
        raise EmailTaken("an account with this address exists")
    await _ask(
        tx,
        user,
        "email_change",
        to=new_email,
        new_email=new_email,
        origin=origin,
        clock=clock,
        lifetime=EMAIL_CHANGE_LIFETIME,
    )


async def confirm_email(tx: Transaction, token: str, tokens: SignedTokens, *, origin: Origin, clock: Clock) -> User:
    """Change the address to the one that the token was sent to; it counts as verified. The token works once.

    Does not commit. Raises TokenInvalid, EmailTaken.
    """
    user, new_email = await _use(tx, token, tokens, purpose="email_change", clock=clock)
    changes = {"email": new_email, "email_verified": True}
    return await service.update(tx, user.id, changes, origin=replace(origin, actor=str(user.id)), clock=clock)


async def _ask(
    tx: Transaction,
    user: User,
    purpose: str,
    *,
    to: str,
    origin: Origin,
    clock: Clock,
    lifetime: timedelta,
    new_email: str | None = None,
) -> None:
    token_id, now = new_id(), clock.now()
    await queries.insert_one_time_token(
        tx, token_id, user_id=user.id, purpose=purpose, new_email=new_email, now=now, expires_at=now + lifetime
    )
    minutes = int(lifetime.total_seconds() // 60)
    parameters = {"username": user.username, "token_id": str(token_id), "minutes": minutes}
    request = NotificationRequested(
        id=new_id(),
        timestamp=now,
        request_id=origin.request_id,
        user_id=user.id,
        actor=origin.actor,
        template=purpose,
        to=to,
        locale=user.locale,
        category="security",
        parameters=parameters,
    )
    await outbox.add(tx, request, traceparent=origin.traceparent)


async def _use(
    tx: Transaction, token: str, tokens: SignedTokens, *, purpose: str, clock: Clock
) -> tuple[User, str | None]:
    """Lock the owner, then use the token up: the order that every other change keeps, so that none waits in a ring."""
    token_id, _ = tokens.read(token)
    owner = await queries.owner_of_one_time_token(tx, token_id)
    user = await queries.lock(tx, owner) if owner else None
    row = await queries.use_one_time_token(tx, token_id, purpose=purpose, now=clock.now())
    if row is None or user is None or not user.is_active:
        raise TokenInvalid("the token was used already or has expired: ask for a new one")
    return user, row.new_email


def one_time_id(parameters: dict[str, object]) -> UUID | None:
    """The id of the token that a notification asks for, if it asks for one."""
    value = parameters.get("token_id")
    return UUID(value) if isinstance(value, str) else None
