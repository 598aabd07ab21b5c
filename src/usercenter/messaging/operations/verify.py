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
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from msgspec.structs import replace

from usercenter.config.model import Config, Kafka
from usercenter.db import Database, Transaction
from usercenter.events import Registry
from usercenter.messaging.client import topics_by_stream
from usercenter.messaging.groups import Group, handlers_by_name
from usercenter.messaging.operations import books, effects, order, positions, stuck
from usercenter.messaging.operations.books import LOGGED_STREAM, Ledger
from usercenter.messaging.operations.looks import look
from usercenter.messaging.operations.positions import Bounds
from usercenter.messaging.operations.report import Book, Finding, Report

_NO_KAFKA: Final = "Kafka was not read: what is in neither inbox nor outbox is taken to be there"


class _Before(NamedTuple):
    """What Kafka said before the tables were looked at."""

    passed: Mapping[str, Mapping[int, int]]
    """By group: how far it has committed, by partition."""
    ends: Mapping[str, Mapping[int, Bounds]]
    """By topic."""


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
    check = _Check(config, groups, registry, reads_kafka=reads_kafka, reads_whole_topic=reads_whole_topic)
    before = await asyncio.to_thread(check.before)
    async with database.transaction() as tx:
        await tx.execute("set transaction isolation level repeatable read")
        await tx.execute("set local idle_in_transaction_session_timeout = 0")  # Kafka may be read for minutes
        taken_at = await _now(tx)
        await books.open_tables(tx)
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


class _Check:
    """The looks of one verification, and what they have found so far."""

    def __init__(
        self,
        config: Config,
        groups: Sequence[Group],
        registry: Registry,
        *,
        reads_kafka: bool,
        reads_whole_topic: bool,
    ) -> None:
        self.books: list[Book] = []
        self.findings: list[Finding] = []
        self.notes: list[str] = [] if reads_kafka else [_NO_KAFKA]
        self._kafka: Kafka = config.kafka
        self._topics = topics_by_stream(config.kafka)
        self._groups = {group.name: group for group in groups}
        self._registry = registry
        self._reads_kafka = reads_kafka
        self._reads_whole_topic = reads_kafka and reads_whole_topic

    def before(self) -> _Before:
        """Ask Kafka, before the tables are looked at. Blocks."""
        if not self._reads_kafka:
            return _Before({}, {})
        topics = {group.name: self._topics[group.stream] for group in self._groups.values()}
        passed = {name: positions.committed(self._kafka, group=name, topic=topic) for name, topic in topics.items()}
        return _Before(passed, {topic: positions.bounds(self._kafka, topic) for topic in set(topics.values())})

    def note_unstarted(self, started: set[str]) -> None:
        """Say which groups have no book."""
        self.notes += [f"{name} has never started: it is held to nothing" for name in self._groups.keys() - started]

    async def book(self, tx: Transaction, ledger: Ledger, before: _Before) -> None:
        """The book of one group, and what is wrong with it."""
        if ledger.stream == LOGGED_STREAM:
            self.books.append(await self._logged(tx, ledger, before))
            self.findings += await effects.lacking(tx, self._groups[ledger.group], ledger)
        elif not self._reads_kafka or ledger.user_id is not None:
            self.notes.append(f"{ledger.group}: no book, for what was committed for it is only on Kafka")
        else:
            self.books.append(await self._read(tx, ledger, before))

    async def whole_topic(self, tx: Transaction, held: Sequence[Ledger], before: _Before) -> None:
        """Read all of user.events, if that is wanted."""
        logged = [ledger for ledger in held if ledger.stream == LOGGED_STREAM]
        if not self._reads_whole_topic or not logged:
            return
        topic = logged[0].topic
        every = replace(logged[0], types=sorted(self._registry.classes()))
        ends = await asyncio.to_thread(positions.bounds, self._kafka, topic)
        earlier = {partition: each.high for partition, each in before.ends[topic].items()}
        await look(tx, self._kafka, every, self._registry, starts={}, ends=ends, passed=earlier)
        await tx.execute("analyze verify_records")
        self.findings += await order.on_topic(tx, topic)
        is_whole = all(each.low == 0 for each in ends.values())
        for ledger in logged:
            self.findings += await order.unexplained(tx, ledger, is_whole=is_whole)

    async def _logged(self, tx: Transaction, ledger: Ledger, before: _Before) -> Book:
        book = await books.count_logged(tx, ledger)
        if book.missing == 0:
            return book
        if not self._reads_kafka:
            return replace(book, waiting=book.waiting + book.missing, unproven=book.missing, missing=0)
        passed = before.passed[ledger.group]
        ends = await asyncio.to_thread(positions.bounds, self._kafka, ledger.topic)
        await look(tx, self._kafka, ledger, self._registry, starts=_within(passed, ends), ends=ends, passed=passed)
        found = await books.strike_found(tx, ledger)
        await self._note_lost(tx, ledger)
        return replace(book, waiting=book.waiting + found, missing=book.missing - found)

    async def _read(self, tx: Transaction, ledger: Ledger, before: _Before) -> Book:
        passed = before.passed[ledger.group]
        ends = await asyncio.to_thread(positions.bounds, self._kafka, ledger.topic)
        starts = await asyncio.to_thread(positions.since, self._kafka, ledger.topic, ledger.since)
        starts = {partition: starts.get(partition, each.high) for partition, each in ends.items()}
        await look(tx, self._kafka, ledger, self._registry, starts=starts, ends=ends, passed=passed)
        book = await books.count_read(tx, ledger)
        await self._note_lost(tx, ledger)
        self._note_expired(ledger, passed, ends)
        return book

    async def _note_lost(self, tx: Transaction, ledger: Ledger) -> None:
        lost = await books.lost(tx, ledger)
        if lost.count:
            self.findings.append(
                Finding(
                    invariant="nothing lost",
                    what=f"events committed for {ledger.group} that are in no inbox, outbox, topic or dead letter",
                    count=lost.count,
                    examples=lost.examples,
                    next_step=f"`usercenter replay --missing --group {ledger.group}` does exactly these",
                )
            )

    def _note_expired(self, ledger: Ledger, passed: Mapping[int, int], ends: Mapping[int, Bounds]) -> None:
        """Records that Kafka deleted before the group had read them; of these topics nobody has a copy."""
        expired = sum(max(0, each.low - passed.get(partition, each.low)) for partition, each in ends.items())
        if expired:
            self.findings.append(
                Finding(
                    invariant="nothing lost",
                    what=f"records that Kafka's retention deleted before {ledger.group} had read them",
                    count=expired,
                    next_step=f"let {ledger.topic} keep its records for longer than the group may be away",
                )
            )


def _within(starts: Mapping[int, int], ends: Mapping[int, Bounds]) -> dict[int, int]:
    """The starts that lie on the topic; one that does not was of a topic that is gone: then from the first record."""
    return {
        partition: start for partition, start in starts.items() if partition in ends and start <= ends[partition].high
    }


async def _now(tx: Transaction) -> datetime:
    row = await tx.fetch_one("select now()")
    assert row is not None  # noqa: S101  # it is one row by definition
    moment: datetime = row[0]
    return moment
