"""The security log: what happened to the keys of an account, append-only."""

from collections.abc import Sequence
from typing import Final

import msgspec

from usercenter.db import Transaction
from usercenter.events import UserPasswordChanged
from usercenter.messaging.groups import Context

LACKS_LOG_LINE: Final = "not exists (select 1 from security_log l where l.event_id = e.id)"
"""Where the effect of a handled change is not there; for `usercenter verify`."""


async def write_security_log(events: Sequence[UserPasswordChanged], tx: Transaction, context: Context) -> None:
    """Append each change of a password: when, from where, by whom."""
    del context
    details = [msgspec.json.encode({"actor": event.actor, "request_id": event.request_id}).decode() for event in events]
    await tx.send(
        "insert into security_log (event_id, user_id, happened_at, kind, ip_address, details) "
        "select id, user_id, at, kind, ip, details::json from unnest(%b::uuid[], %b::uuid[], %b::timestamptz[], "
        "%b::text[], %b::text[], %b::text[]) as e (id, user_id, at, kind, ip, details) on conflict do nothing",
        (
            [event.id for event in events],
            [event.user_id for event in events],
            [event.occurred_at for event in events],
            [event.type for event in events],
            [event.ip_address for event in events],
            details,
        ),
    )
