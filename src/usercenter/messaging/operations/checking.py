"""The looks of one verification; in which order they are taken, and why, says `messaging/operations/verify.py`."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from usercenter.config.model import Kafka
from usercenter.db import Transaction
from usercenter.events import Registry
from usercenter.messaging.client import topics_by_stream
from usercenter.messaging.groups import Group
from usercenter.messaging.operations import books, effects, order, positions
from usercenter.messaging.operations.books import LOGGED_STREAM, Ledger
from usercenter.messaging.operations.looks import look
from usercenter.messaging.operations.positions import Bounds
from usercenter.messaging.operations.report import Book, Finding

_NO_KAFKA: Final = "Kafka was not read: what is in neither inbox nor outbox is taken to be there"


class Before(NamedTuple):
    """What Kafka said before the tables were looked at."""

    passed: Mapping[str, Mapping[int, int]]
    """By group: how far it has committed, by partition."""
    ends: Mapping[str, Mapping[int, Bounds]]
    """By topic."""

    def lag(self, ledger: Ledger) -> int:
        """How many records the group had before it; of partitions without a commit, all."""
        passed = self.passed.get(ledger.group, {})
        ends = self.ends.get(ledger.topic, {})
        return sum(max(0, each.high - passed.get(partition, each.low)) for partition, each in ends.items())


class Looks:
    """The looks of one verification, and what they have found so far."""

    def __init__(
        self,
        kafka: Kafka,
        groups: Sequence[Group],
        registry: Registry,
        *,
        reads_kafka: bool,
        reads_whole_topic: bool,
    ) -> None:
        self.books: list[Book] = []
        self.findings: list[Finding] = []
        self.notes: list[str] = [] if reads_kafka else [_NO_KAFKA]
        self._kafka = kafka
        self._topics = topics_by_stream(kafka)
        self._groups = {group.name: group for group in groups}
        self._registry = registry
        self._reads_kafka = reads_kafka
        self._reads_whole_topic = reads_kafka and reads_whole_topic

    def before(self) -> Before:
        """Ask Kafka, before the tables are looked at. Blocks."""
        if not self._reads_kafka:
            return Before({}, {})
        topics = {group.name: self._topics[group.stream] for group in self._groups.values()}
        passed = {name: positions.committed(self._kafka, group=name, topic=topic) for name, topic in topics.items()}
        return Before(passed, {topic: positions.bounds(self._kafka, topic) for topic in set(topics.values())})

    def note_unstarted(self, started: set[str]) -> None:
        """Say which groups have no book."""
        self.notes += [f"{name} has never started: it is held to nothing" for name in self._groups.keys() - started]

    async def book(self, tx: Transaction, ledger: Ledger, before: Before) -> None:
        """The book of one group, and what is wrong with it."""
        if ledger.stream == LOGGED_STREAM:
            self.books.append(await self.logged(tx, ledger, before))
            self.findings += await effects.lacking(tx, self._groups[ledger.group], ledger)
        elif not self._reads_kafka or ledger.user_id is not None:
            self.notes.append(f"{ledger.group}: no book, for what was committed for it is only on Kafka")
        else:
            self.books.append(await self._read(tx, ledger, before))

    async def whole_topic(self, tx: Transaction, held: Sequence[Ledger], before: Before) -> None:
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

    async def logged(self, tx: Transaction, ledger: Ledger, before: Before) -> Book:
        """The book of a group of user.events; Kafka is read only if something is in neither inbox nor outbox."""
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

    async def _read(self, tx: Transaction, ledger: Ledger, before: Before) -> Book:
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
