"""The relay: from the outbox to Kafka, in the order of each user, nothing forgotten.

Per user at most one message is on its way; the next one goes when Kafka has acknowledged it. So a failed delivery can
never be overtaken, whatever the client library does inside. A row is deleted after its acknowledgement; what was sent
and not deleted (a crash in between) is sent again under the same id, and the inbox knows it.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final

import structlog

from usercenter.clock import Clock
from usercenter.config.model import Config
from usercenter.db import Database, is_transient
from usercenter.messaging import dead_letters, outbox
from usercenter.messaging.leases import Leases
from usercenter.messaging.outbox import Row
from usercenter.messaging.producer import Producer, Receipt, is_permanent
from usercenter.metrics import Metrics

log = structlog.get_logger()

_HOLD_SECONDS: Final = 1.0
_BATCHES_IN_HAND: Final = 2


class Relay:
    """Empties this process's shards of the outbox."""

    def __init__(
        self,
        config: Config,
        *,
        database: Database,
        leases: Leases,
        topics: Mapping[str, str],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._settings = config.relay
        self._log_each = config.logging.each_event_up_to
        self._database = database
        self._leases = leases
        self._topics = topics
        self._clock = clock
        self._metrics = metrics
        self._wake = database.signal(outbox.SIGNAL)
        self._in_flight: dict[str, Row] = {}
        self._queued: dict[str, deque[Row]] = {}
        self._known: dict[int, Row] = {}
        self._acknowledged: list[Row] = []
        self._refused: list[tuple[Row, str]] = []
        self._held: dict[str, float] = {}
        self._producer = Producer(config.kafka, on_receipts=self._receive)
        leases.finish_before_release(self._busy_shards)

    async def run(self) -> None:
        """Work until cancelled; an absent database is waited for."""
        while True:
            try:
                is_idle = await self._turn()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("outbox.database_unavailable", error=str(error))
                await asyncio.sleep(1)
                continue
            if is_idle:
                await self._wake.wait(self._settings.idle_poll_ms / 1000)

    async def close(self, *, timeout_seconds: float) -> None:
        """After `run` was cancelled: wait for what is on its way, forget what arrived; the rest stays in the outbox."""
        self._queued.clear()
        await self._producer.close(timeout_seconds=timeout_seconds)
        await asyncio.sleep(0)  # the last receipts are waiting in the loop
        await self._settle()

    async def _turn(self) -> bool:
        """One round: delete what arrived, fetch what is new. Says whether there is nothing left to do now."""
        await self._settle()
        self._unhold()
        room = self._settings.batch_messages * _BATCHES_IN_HAND - len(self._known)
        owned = self._leases.owned()
        if room < self._settings.batch_messages or not owned:
            return True
        rows = await self._fetch(owned)
        for row in rows:
            self._accept(row)
        return len(rows) < self._settings.batch_messages

    async def _fetch(self, owned: frozenset[int]) -> list[Row]:
        async with self._database.transaction() as tx:
            return await outbox.waiting(
                tx,
                shards=sorted(owned),
                beside=list(self._known),
                held_keys=list(self._held),
                limit=self._settings.batch_messages,
            )

    def _accept(self, row: Row) -> None:
        self._known[row.position] = row
        if row.key in self._in_flight:
            self._queued.setdefault(row.key, deque()).append(row)
        else:
            self._send(row)

    def _send(self, row: Row) -> None:
        if row.shard not in self._leases.owned():  # looked at just before sending: a frozen process stops here
            self._forget_key(row)
            return
        self._in_flight[row.key] = row
        is_taken = self._producer.send(
            row, topic=self._topics[row.stream], key=row.key, value=row.payload, headers=row.headers.items()
        )
        if not is_taken:
            del self._in_flight[row.key]
            self._forget_key(row)

    def _receive(self, receipts: list[Receipt]) -> None:
        for row, error, partition, offset in receipts:
            del self._in_flight[row.key]
            if error is None:
                self._acknowledged.append(row)
                self._log_delivery(row, partition, offset, is_single=len(receipts) <= self._log_each)
                self._send_next(row.key)
            elif is_permanent(error):
                self._refused.append((row, error.str()))
                self._send_next(row.key)
            else:
                self._hold(row, error.name())
        if len(receipts) > self._log_each:
            log.info("kafka.messages_delivered", messages=len(receipts))
        self._wake.set()

    def _send_next(self, key: str) -> None:
        queue = self._queued.get(key)
        if queue:
            self._send(queue.popleft())
        if not queue:
            self._queued.pop(key, None)

    def _hold(self, row: Row, error: str) -> None:
        """After a failed delivery this user's messages wait, all of them; others go on."""
        topic = self._topics[row.stream]
        self._metrics.produce_errors.labels(topic, row.type, error).inc()
        log.warning("kafka.delivery_failed", topic=topic, event_type=row.type, error=error, next="kept and sent again")
        self._held[row.key] = self._clock.monotonic() + _HOLD_SECONDS
        self._forget_key(row)

    def _forget_key(self, row: Row) -> None:
        self._known.pop(row.position, None)
        for other in self._queued.pop(row.key, ()):
            self._known.pop(other.position, None)

    def _unhold(self) -> None:
        now = self._clock.monotonic()
        for key in [key for key, until in self._held.items() if until <= now]:
            del self._held[key]

    async def _settle(self) -> None:
        acknowledged, self._acknowledged = self._acknowledged, []
        refused, self._refused = self._refused, []
        if not acknowledged and not refused:
            return
        try:
            async with self._database.transaction() as tx:
                await outbox.remove(tx, [row.position for row in (*acknowledged, *(row for row, _ in refused))])
                for row, error in refused:
                    await dead_letters.add_unsendable(tx, row, topic=self._topics[row.stream], error=error)
        except BaseException:
            self._acknowledged += acknowledged
            self._refused += refused
            raise
        for row in acknowledged:
            del self._known[row.position]
            self._metrics.produced.labels(self._topics[row.stream], row.type).inc()
        for row, _ in refused:
            del self._known[row.position]

    def _busy_shards(self) -> set[int]:
        return {row.shard for row in self._in_flight.values()}

    def _log_delivery(self, row: Row, partition: int | None, offset: int | None, *, is_single: bool) -> None:
        if is_single:
            log.info(
                "kafka.message_delivered",
                topic=self._topics[row.stream],
                partition=partition,
                offset=offset,
                event_type=row.type,
                event_id=row.headers.get("ce_id"),
                request_id=row.headers.get("request_id"),
            )
