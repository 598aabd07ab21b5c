"""Links that prove by a one-time token that somebody reads a mailbox."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from usercenter.config.model import Mail
from usercenter.db import Transaction
from usercenter.users.signed_tokens import SignedTokens

PURPOSES: Final = ("password_reset", "email_change")
"""What there are one-time tokens for; a template of the same name tells the user."""


class MailedToken(msgspec.Struct, frozen=True):
    """A one-time token as the database has it: whose, for what, which mailbox it proves, and whether it still works."""

    user_id: UUID
    purpose: str
    email: str
    is_good: bool


async def find_mailed_token(tx: Transaction, token_id: UUID, *, now: datetime) -> MailedToken | None:
    """The token with this id, None when there is none (any more)."""
    row = await tx.fetch_one(
        "select t.user_id, t.purpose, coalesce(t.new_email, u.email), t.used_at is null and t.expires_at > %s "
        "from one_time_tokens t join users u on u.id = t.user_id where t.id = %s",
        (now, token_id),
    )
    return MailedToken(*row) if row else None


class OneTimeLinks:
    """Makes the links; the token itself exists in the mail alone."""

    def __init__(self, tokens: SignedTokens, mail: Mail) -> None:
        self._tokens = tokens
        self._pages = {
            purpose: mail.public_url.rstrip("/") + path
            for purpose, path in zip(PURPOSES, (mail.reset_password_path, mail.confirm_email_path), strict=True)
        }

    def link(self, purpose: str, token_id: UUID) -> str:
        """Where the user goes with this token. Raises KeyError for a purpose that has no page."""
        return f"{self._pages[purpose]}?token={self._tokens.make(token_id)}"
