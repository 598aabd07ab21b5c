"""A new user's settings."""

from collections.abc import Sequence
from typing import Final

import msgspec

from usercenter.config.model import Accounts
from usercenter.db import Transaction
from usercenter.events import UserRegistered
from usercenter.messaging.groups import Context

FIRST_CHOICES: Final = {"mail": True, "sms": False}
"""What a new user is told, and how, until the user says otherwise."""
LACKS_SETTINGS: Final = "not exists (select 1 from user_settings s where s.user_id = e.user_id)"
"""Where the effect of a handled registration is not there; for `usercenter verify`."""


async def create_settings(events: Sequence[UserRegistered], tx: Transaction, context: Context) -> None:
    """Give each new user settings; one who has some already keeps them."""
    accounts = context.service(Accounts)
    events = sorted(events, key=lambda event: event.user_id)  # rows are locked in one order by all: no deadlock
    await tx.send(
        "insert into user_settings (user_id, locale, time_zone, notifications, created_at, updated_at) "
        "select user_id, locale, %s, %s::json, at, at from unnest(%b::uuid[], %b::text[], %b::timestamptz[]) "
        "as e (user_id, locale, at) on conflict do nothing",
        (
            accounts.default_time_zone,
            msgspec.json.encode(FIRST_CHOICES).decode(),
            [event.user_id for event in events],
            [event.locale or accounts.default_locale for event in events],
            [event.occurred_at for event in events],
        ),
    )
