"""How a program of Acme publishes its event: with the change that it tells of, in one transaction.

USERCENTER_CONFIG=configs/config.yaml python -m acme.publish USER_ID ada city=London
"""

import asyncio
import os
import sys
from typing import Any
from uuid import UUID

from acme.profile import UserProfileUpdated

from usercenter.config import load
from usercenter.db import Database
from usercenter.extension import SystemClock, Transaction, new_id, outbox


async def tell_profile_updated(tx: Transaction, user_id: UUID, *, username: str, changes: dict[str, Any]) -> None:
    """Publish if and only if the transaction commits; the relay brings it to Kafka. Does not commit."""
    event = UserProfileUpdated(
        id=new_id(),
        timestamp=SystemClock().now(),
        source="acme.profile",
        user_id=user_id,
        username=username,
        changes=changes,
    )
    await outbox.add(tx, event)


async def main(user_id: str, username: str, *changes: str) -> None:
    """One event from the command line."""
    database = Database(load(None, os.environ).config.database)
    await database.open()
    try:
        async with database.transaction() as tx:
            pairs = dict(change.split("=", 1) for change in changes)
            await tell_profile_updated(tx, UUID(user_id), username=username, changes=pairs)
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
