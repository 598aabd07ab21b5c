"""Whether all is well: the invariants of the design, asked of a system that runs.

The moments, and why no event that is committed meanwhile can be a false alarm. An event goes from the outbox to Kafka
to the inbox, and leaves each place only after it has reached the next one. So the places are looked at in the order in
which nothing can slip by, from the end of that way to its beginning and then again to its end:

1. How far each group has committed, and where each topic ends. Whatever is before a group's offset is in its inbox.
2. The tables, all at one moment (REPEATABLE READ). An event that is then in neither inbox nor outbox has left the
   outbox, so Kafka has acknowledged it; and the group had not handled it, so it lies behind the offset of step 1.
3. Where each topic ends now. What Kafka acknowledged before step 2 is before that end.
4. Kafka, from 1 to 3. An event of step 2 that is not there is nowhere: it is missing.

Events that are committed after step 2 are in no table that was read, and those that reach Kafka after step 2 only
prove more. "Nothing invented" looks the other way, from Kafka to event_log, so it takes the end of the topic from
step 1: whatever was on Kafka by then was committed by step 2.

PostgreSQL counts, Kafka is streamed into a temporary table; the memory of this process does not grow with either. The
one transaction stays open while Kafka is read, and holds back vacuum for so long. Nothing that lasts is written.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from usercenter.config.model import Config
from usercenter.db import Database, Transaction
from usercenter.events import Registry
from usercenter.messaging.client import topics_by_stream
from usercenter.messaging.groups import Group, handlers_by_name
from usercenter.messaging.operations import books, order, stuck
from usercenter.messaging.operations.checking import Looks
from usercenter.messaging.operations.report import Report


async def verify(
    config: Config,
    *,
    database: Database,
    groups: Sequence[Group],
    registry: Registry,
    stuck_after_seconds: float = 300,
    reads_kafka: bool = True,
    reads_whole_topic: bool = False,
    user_id: UUID | None = None,
) -> Report:
    """Look at everything once and say what is wrong; changes nothing.

    Without `reads_kafka` nothing is asked of the brokers, and the books of groups that read other topics than
    user.events are left out. With `reads_whole_topic` all of user.events is read as well, for what was never ours and
    for the order in it. With `user_id` only that user's events are looked at, in event_log and what follows from it.
    Raises DatabaseUnavailable and KafkaException when a store cannot be asked.
    """
    check = Looks(config.kafka, groups, registry, reads_kafka=reads_kafka, reads_whole_topic=reads_whole_topic)
    before = await asyncio.to_thread(check.before)
    async with database.transaction() as tx:
        taken_at = await _open(tx)
        held = await books.ledgers(
            tx, groups, topics_by_stream(config.kafka), inbox_days=config.retention.inbox_days, user_id=user_id
        )
        check.note_unstarted({ledger.group for ledger in held})
        for ledger in held:
            await check.book(tx, ledger, before)
        check.findings += await order.gaps(tx, {"user_id": user_id})
        check.findings += await stuck.stuck(
            tx,
            handlers=handlers_by_name(groups),
            lease_seconds=max(config.relay.lease_seconds, config.tasks.lease_seconds),
            after_seconds=stuck_after_seconds,
        )
        await check.whole_topic(tx, held, before)
    return Report(taken_at=taken_at, books=check.books, findings=check.findings, notes=check.notes)


@asynccontextmanager
async def missing(
    config: Config, *, database: Database, group: Group, registry: Registry
) -> AsyncIterator[Transaction]:
    """A transaction in which `verify_candidates` holds the events that are missing for a group of user.events.

    The moments are those of `verify`. Whatever the block writes is committed at its end.
    """
    check = Looks(config.kafka, [group], registry, reads_kafka=True, reads_whole_topic=False)
    before = await asyncio.to_thread(check.before)
    async with database.transaction() as tx:
        await _open(tx)
        topics = topics_by_stream(config.kafka)
        for ledger in await books.ledgers(tx, [group], topics, inbox_days=config.retention.inbox_days, user_id=None):
            await check.book(tx, ledger, before)
        yield tx


async def unaccounted(
    config: Config,
    *,
    database: Database,
    groups: Sequence[Group],
    registry: Registry,
    hours: int,
    limit: int = 100_000,
    timeout_seconds: int = 60,
) -> dict[str, int]:
    """By group of user.events: how many events of the last hours are nowhere. The moments are those of `verify`.

    Groups that have more than `limit` records to read are left out, for what waits on Kafka would have to be read.
    Raises DatabaseUnavailable, KafkaException, and QueryCanceled when a statement takes longer than the timeout.
    """
    logged = [group for group in groups if group.stream == books.LOGGED_STREAM]
    check = Looks(config.kafka, logged, registry, reads_kafka=True, reads_whole_topic=False)
    before = await asyncio.to_thread(check.before)
    found = {}
    async with database.transaction() as tx:
        taken_at = await _open(tx)
        await tx.execute("select set_config('statement_timeout', %s, true)", (f"{timeout_seconds}s",))
        topics, days = topics_by_stream(config.kafka), config.retention.inbox_days
        for ledger in await books.ledgers(tx, logged, topics, inbox_days=days, user_id=None):
            if before.lag(ledger) <= limit:
                since = max(ledger.remembered_since, taken_at - timedelta(hours=hours))
                book = await check.logged(tx, replace(ledger, remembered_since=since), before)
                found[ledger.group] = book.missing
    return found


async def _open(tx: Transaction) -> datetime:
    """Fix the moment at which the tables are seen, and make the temporary ones."""
    await tx.execute("set transaction isolation level repeatable read")
    await tx.execute("set local idle_in_transaction_session_timeout = 0")  # Kafka may be read for minutes
    row = await tx.fetch_one("select now()")
    assert row is not None  # noqa: S101  # it is one row by definition
    await books.open_tables(tx)
    moment: datetime = row[0]
    return moment
