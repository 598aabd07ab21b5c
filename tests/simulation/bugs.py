"""Bugs of the kinds that such systems have, planted one at a time: the simulation must find each."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from simulation.system import System

from usercenter.config.model import Config
from usercenter.db import Database, is_transient
from usercenter.messaging import outbox
from usercenter.messaging.endings import Done, Endings
from usercenter.messaging.leases import Leases
from usercenter.messaging.outbox import Row
from usercenter.messaging.producer import Receipt
from usercenter.messaging.relay import Relay
from usercenter.messaging.sets import Sets
from usercenter.messaging.tasks import Task


class CursorRelay:
    """Remembers the last position that it has sent, and asks for what is behind it."""

    def __init__(self, config: Config, *, database: Database, leases: Leases, topics: Any, **parts: Any) -> None:
        self._database = database
        self._leases = leases
        self._topics = topics
        self._producer = parts["make_producer"](config.kafka, on_receipts=self._receive)
        self._answers: dict[int, asyncio.Future[bool]] = {}
        self._last = 0

    async def run(self) -> None:
        while True:
            try:
                await self._turn()
            except Exception as error:
                if not is_transient(error):
                    raise
            await asyncio.sleep(0.05)

    async def _turn(self) -> None:
        async with self._database.transaction() as tx:
            shards = sorted(self._leases.owned())
            rows = await outbox.waiting(tx.fetch_all, shards=shards, beside=[], held_keys=[], limit=100)
        for row in rows:
            if row.position > self._last and await self._sent(row):
                self._last = row.position
                async with self._database.transaction() as tx:
                    await outbox.remove(tx, [row.position])

    async def _sent(self, row: Row) -> bool:
        while True:
            answer = self._answers[row.position] = asyncio.get_running_loop().create_future()
            topic = self._topics[row.stream]
            self._producer.send(row, topic=topic, key=row.key, value=row.payload, headers=row.headers)
            if await answer:
                return True

    def _receive(self, receipts: list[Receipt]) -> None:
        for row, error, _, _ in receipts:
            self._answers.pop(row.position).set_result(error is None)


class ImpatientRelay(Relay):
    """Sends all that it has fetched at once, whatever became of the message before."""

    def __init__(self, *arguments: Any, **parts: Any) -> None:
        super().__init__(*arguments, **parts)
        hand = self._hand
        waits = hand.admit

        def admit(row: Row) -> bool:
            return waits(row) or (hand.next_of(row.key) or row) is row

        hand.admit = admit  # type: ignore[method-assign]  # this very object, in this very test
        hand.arrive = lambda row: hand._on_its_way.pop(row.key, None) and None  # type: ignore[method-assign]


class ForgivingSets(Sets):
    """Strikes off all tasks of a set that failed."""

    async def _do_each(self, found: Sequence[Task], endings: Endings) -> None:
        endings.done += [Done(task, 0.0, "") for task in found]


def offset_before_commit(system: System) -> None:
    system.is_offset_first = True


def inbox_outside_the_transaction(system: System) -> None:
    system.tables.is_inbox_apart = True


def lane_not_held(system: System) -> None:
    system.tables.is_lane_ignored = True


def cursor_relay(system: System) -> None:
    system.make_relay = CursorRelay


def key_not_held(system: System) -> None:
    system.make_relay = ImpatientRelay


def set_with_a_gap(system: System) -> None:
    system.tables.is_set_gapped = True


def failed_set_struck_off(system: System) -> None:
    system.make_sets = ForgivingSets


BUGS: dict[str, Callable[[System], None]] = {
    "cursor relay": cursor_relay,
    "key not held by the relay": key_not_held,
    "offset before commit": offset_before_commit,
    "inbox outside the transaction": inbox_outside_the_transaction,
    "lane not held": lane_not_held,
    "set with a gap": set_with_a_gap,
    "failed set struck off": failed_set_struck_off,
}
