"""What is kept of logins."""

from collections.abc import Sequence

from usercenter.db import Transaction
from usercenter.events import UserLoggedIn
from usercenter.messaging.groups import Context


async def write_login_log(events: Sequence[UserLoggedIn], tx: Transaction, context: Context) -> None:
    """Append each login to the log."""
    del context
    await tx.execute(
        "insert into login_log (event_id, user_id, logged_in_at, ip_address, user_agent) "
        "select * from unnest(%s::uuid[], %s::uuid[], %s::timestamptz[], %s::text[], %s::text[]) "
        "on conflict do nothing",
        (
            [event.id for event in events],
            [event.user_id for event in events],
            [event.occurred_at for event in events],
            [event.ip_address for event in events],
            [event.user_agent for event in events],
        ),
    )


async def remember_last_login(events: Sequence[UserLoggedIn], tx: Transaction, context: Context) -> None:
    """Note when each user logged in last; it never moves backwards, whatever the order of arrival."""
    del context
    latest = {event.user_id: event for event in sorted(events, key=lambda event: event.occurred_at)}
    await tx.execute(
        "insert into last_logins (user_id, logged_in_at, ip_address) "
        "select * from unnest(%s::uuid[], %s::timestamptz[], %s::text[]) "
        "on conflict (user_id) do update set logged_in_at = excluded.logged_in_at, ip_address = excluded.ip_address "
        "where last_logins.logged_in_at < excluded.logged_in_at",
        (
            list(latest),
            [event.occurred_at for event in latest.values()],
            [event.ip_address for event in latest.values()],
        ),
    )
