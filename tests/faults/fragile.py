"""An extension whose handlers fail for good while the table `outages` has a row, and else count what they do.

Their effects have no key: a second one is a second row.
"""

from collections.abc import Sequence
from typing import Final

from usercenter.db import Database
from usercenter.extension import Context, Extension, PermanentFailure, Transaction, UserUpdated, outside, record

HANDLERS: Final = ("keep", "call")
TABLES: Final = """
create table outages (since timestamptz not null default now());
create table effects (n bigint generated always as identity, handler text, event_id uuid, user_id uuid);
insert into outages default values returning 1
"""


async def keep(events: Sequence[UserUpdated], tx: Transaction, context: Context) -> None:
    """Write it down with the batch."""
    del context
    for event in events:
        await _do(tx, "keep", event)


async def call(event: UserUpdated, context: Context) -> None:
    """Write it down, as if that were the outside world."""
    async with context.service(Database).transaction() as tx:
        await _do(tx, "call", event)


async def _do(tx: Transaction, handler: str, event: UserUpdated) -> None:
    if await tx.fetch_one("select 1 from outages limit 1", ()):
        raise PermanentFailure("out of order until somebody mends it")
    await tx.execute(
        "insert into effects (handler, event_id, user_id) values (%s, %s, %s)", (handler, event.id, event.user_id)
    )


extension = Extension(handlers={UserUpdated: [record(keep), outside(call)]})
