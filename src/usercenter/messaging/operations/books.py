"""The books of the groups: where each event is that a group had to handle, counted by PostgreSQL.

A group of `user.events` is held against event_log; a group of another topic against the topic itself, as
`messaging/operations/topic_books.py` has read it into a temporary table. Nothing here keeps an id in this process.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from usercenter.db import Transaction
from usercenter.events import type_of
from usercenter.messaging.groups import Group
from usercenter.messaging.operations import book_queries as queries
from usercenter.messaging.operations.report import EXAMPLES, Book

LOGGED_STREAM: Final = "user_events"
"""The stream whose events are kept in event_log."""


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """What one group is held to: its name, its stream, the types it handles, and since when."""

    group: str
    stream: str
    topic: str
    types: list[str]
    pinned_at: datetime
    """The group's first start. What was committed before it is in the book where the group has met it all the same."""
    remembered_since: datetime
    """What was committed before is no longer in every inbox."""
    user_id: UUID | None = None

    @property
    def since(self) -> datetime:
        """Whatever was committed from here on, the group must have."""
        return max(self.pinned_at, self.remembered_since)

    @property
    def facts(self) -> dict[str, Any]:
        """The parameters of the statements."""
        return msgspec.structs.asdict(self)


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """Events of a group that are nowhere."""

    count: int
    examples: list[str]


async def ledgers(
    tx: Transaction, groups: Sequence[Group], topics: Mapping[str, str], *, inbox_days: int, user_id: UUID | None
) -> list[Ledger]:
    """What each group is held to; a group that has never started is held to nothing, and left out."""
    rows = await tx.fetch_all(queries.STARTS, (inbox_days,))
    starts = {(row[0], row[1]): (row[2], row[3]) for row in rows}
    return [
        Ledger(
            group=group.name,
            stream=group.stream,
            topic=topics[group.stream],
            types=sorted(type_of(event_class) for event_class in group.handlers),
            pinned_at=starts[group.name, topics[group.stream]][0],
            remembered_since=starts[group.name, topics[group.stream]][1],
            user_id=user_id,
        )
        for group in groups
        if (group.name, topics[group.stream]) in starts
    ]


async def open_tables(tx: Transaction) -> None:
    """Make the temporary tables; they go with the transaction."""
    await tx.execute(queries.TABLES)


async def count_logged(tx: Transaction, ledger: Ledger) -> Book:
    """The book of a group of `user.events`; what is in neither inbox nor outbox is kept as its candidates."""
    rows = await tx.fetch_all(queries.LOGGED, ledger.facts)
    return _book(ledger, {row[0]: row[1] for row in rows})


async def count_read(tx: Transaction, ledger: Ledger) -> Book:
    """The book of a group of another topic, whose records are in the temporary table; also keeps its candidates."""
    await tx.execute("analyze verify_records")
    rows = await tx.fetch_all(queries.READ, ledger.facts)
    return _book(ledger, {row[0]: row[1] for row in rows})


async def strike_found(tx: Transaction, ledger: Ledger) -> int:
    """Strike off the candidates that the temporary table has, for they wait on Kafka; returns how many."""
    await tx.execute("analyze verify_records")
    return (await tx.execute(queries.STRIKE, ledger.facts)).rowcount


async def lost(tx: Transaction, ledger: Ledger) -> Lost:
    """The candidates that are left."""
    row = await tx.fetch_one("select count(*) from verify_candidates where group_name = %(group)s", ledger.facts)
    rows = await tx.fetch_all(queries.EXAMPLES, ledger.facts | {"limit": EXAMPLES})
    return Lost(count=row[0] if row else 0, examples=[str(each[0]) for each in rows])


def _book(ledger: Ledger, places: Mapping[str | None, int]) -> Book:
    return Book(
        group=ledger.group,
        committed=sum(places.values()),
        handled=places.get("handled", 0),
        waiting=places.get("waiting", 0),
        parked=places.get("parked", 0),
        dead=places.get("dead", 0),
        missing=places.get(None, 0),
    )
