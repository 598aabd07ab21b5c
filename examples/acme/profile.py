"""An extension: the event `user.profile_updated`, a row in a table of ours, and a search index that is kept right.

Switched on by `extensions: [acme.profile]`, with this folder's parent where Python looks (installed, on PYTHONPATH, or
the current folder). The table is made once: `psql -f examples/acme/profile.sql`.
"""

import os
from collections.abc import Sequence
from typing import Any

import httpx

from usercenter.extension import Context, Extension, Transaction, UserEvent, outside, record


class UserProfileUpdated(UserEvent, type="user.profile_updated"):
    """The user changed the public profile."""

    username: str
    changes: dict[str, Any]


async def keep_profile_changes(events: Sequence[UserProfileUpdated], tx: Transaction, context: Context) -> None:
    """Note which fields changed when; in the transaction of the batch, so exactly once for each event."""
    del context
    for event in events:
        await tx.execute(
            "insert into acme_profile_changes (event_id, user_id, changed_at, fields) values (%s, %s, %s, %s)",
            (event.id, event.user_id, event.occurred_at, sorted(event.changes)),
        )


async def refresh_search_index(event: UserProfileUpdated, context: Context) -> None:
    """Put the changes into the search index; tried again until it takes them, in order for each user."""
    url = f"{os.environ['ACME_SEARCH_URL']}/users/{event.user_id}"
    async with httpx.AsyncClient(timeout=10) as client:
        answer = await client.patch(
            url, json=event.changes, headers={"Idempotency-Key": str(context.idempotency_id or event.id)}
        )
    answer.raise_for_status()


extension = Extension(
    events=[UserProfileUpdated],
    handlers={UserProfileUpdated: [record(keep_profile_changes), outside(refresh_search_index)]},
)
