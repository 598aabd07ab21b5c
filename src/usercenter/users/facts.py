"""Facts for the statistics that no event of a user tells."""

from datetime import datetime
from typing import Final
from uuid import UUID

from usercenter.db import Transaction
from usercenter.events import AnalyticsFact, new_id
from usercenter.messaging import outbox
from usercenter.users.pseudonyms import Pseudonyms

_NOBODY: Final = UUID(int=0)
"""Stands for every name that has no account."""


async def tell_login_failure(tx: Transaction, user_id: UUID | None, pseudonyms: Pseudonyms, *, now: datetime) -> None:
    """Tell on `user.analytics` that a password was wrong; `user_id` is None for a name without account."""
    fact = AnalyticsFact(id=new_id(), timestamp=now, user_id=pseudonyms.of(user_id or _NOBODY), metric="login_failures")
    await outbox.add(tx, fact)
