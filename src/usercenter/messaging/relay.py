"""The relay: from the outbox to Kafka, in the order of each user, nothing forgotten.

Per user at most one message is on its way; the next one goes when Kafka has acknowledged it. So a failed delivery can
never be overtaken, whatever the client library does inside, and not even two relays that hold one shard for a moment
can show a user's events in another order than the first one of each. A row is deleted after its acknowledgement; what
was sent and not deleted (a crash in between) is sent again under the same id, and the inbox knows it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import confluent_kafka
import structlog

from usercenter.clock import Clock
from usercenter.config.model import Config
from usercenter.db import Database, Transaction, is_transient
from usercenter.messaging import dead_letters, outbox
from usercenter.messaging.in_hand import InHand
from usercenter.messaging.leases import Leases
from usercenter.messaging.outbox import Row
from usercenter.messaging.producer import Producer, Receipt, is_fatal, is_permanent, may_concern_others
from usercenter.messaging.traces import Sendings
from usercenter.messaging.troubles import Troubles
from usercenter.metrics import Metrics
from usercenter.points import reached
from usercenter.tracing import UNTRACED, Tracing, trace_of, traceparent_in

log = structlog.get_logger()

_HOLD_SECONDS: Final = 1.0
_BATCHES_IN_HAND: Final = 6


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
        tracing: Tracing = UNTRACED,
        make_producer: Callable[..., Producer] = Producer,
    ) -> None:
        self._kafka = config.kafka
        self._make_producer = make_producer
        self._settings = config.relay
        self._log_each = config.logging.each_event_up_to
        self._database = database
        self._leases = leases
        self._topics = topics
        self._metrics = metrics
        self.troubles = Troubles(clock, doing="send")
        """By topic, what keeps messages from being sent."""
        self._wake = database.signal(outbox.SIGNAL)
        self._hand = InHand(clock)
        self._sendings = Sendings(tracing)
        self._acknowledged: list[Row] = []
        self._refused: list[tuple[Row, str]] = []
        self._alone: set[int] = set()
        self._has_all = False  # the last fetch left nothing behind
        self._is_full = False
        self._is_broken = False
        self._is_closing = False
        self._producer = make_producer(config.kafka, on_receipts=self._receive)
        self._single: Producer | None = None
        leases.finish_before_release(self._hand.shards)

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
        """After `run` was cancelled: wait for what is on its way, forget what arrived; the rest stays in the outbox.

        May be called twice.
        """
        self._is_closing = True
        producers = [self._producer, *([self._single] if self._single else [])]
        await asyncio.gather(*(each.close(timeout_seconds=timeout_seconds) for each in producers))
        try:
            await self._settle()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("outbox.not_deleted", messages=len(self._acknowledged), next="sent again under the same ids")

    async def _turn(self) -> bool:
        """One round: delete what arrived, and meanwhile send what is new. Says whether to wait for news now."""
        if self._is_broken:
            await self._replace_producer()
        self._tell_ends()
        for outcome in await asyncio.gather(self._settle(), self._send_more(), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        return self._is_full or self._has_all

    async def _send_more(self) -> None:
        """Fetch what is new and send it at once, whatever else this turn waits for."""
        rows = await self._fetch()
        self._has_all = len(rows) < self._settings.batch_messages
        for row in rows:
            if self._hand.admit(row):
                self._send(row)

    async def _fetch(self) -> list[Row]:
        owned, room = self._leases.owned(), self._settings.batch_messages * _BATCHES_IN_HAND - len(self._hand)
        if room < self._settings.batch_messages or not owned:
            return []
        return await outbox.waiting(
            self._database.run_alone,
            shards=sorted(owned),
            beside=self._hand.positions(),
            held_keys=self._hand.closed_keys(),
            limit=self._settings.batch_messages,
        )

    def _send(self, row: Row) -> None:
        if self._is_closing or not self._leases.is_ours(row.shard):  # a process that was frozen stops here
            self._hand.put_back(row)
            return
        topic = self._topics.get(row.stream)
        if topic is None:
            log.error("outbox.unknown_stream", stream=row.stream, event_type=row.type, next="kept for a later version")
            self._hand.put_back(row, seconds=_HOLD_SECONDS)
            return
        self._hand.depart(row)
        producer = self._producer if row.position not in self._alone else self._single_producer()
        if not producer.send(row, topic=topic, key=row.key, value=row.payload, headers=row.headers):
            self._is_full = True
            self._hand.put_back(row)
            return
        self._sendings.begin(row, topic)
        reached("relay.sent")

    def _receive(self, receipts: list[Receipt]) -> None:
        self._is_full = False
        self._sendings.end(receipts)
        for row, error, _, _ in receipts:
            self._hand.arrive(row)
            if error is None:
                reached("relay.acknowledged")
                self._acknowledged.append(row)
                self._send_next(row.key)
            elif may_concern_others(error) and row.position not in self._alone:
                self._alone.add(row.position)
                self._send(row)
            elif is_permanent(error):
                self._refused.append((row, error.str()))
                self._send_next(row.key)
            else:
                self._is_broken |= is_fatal(error)
                self._hand.put_back(row, seconds=_HOLD_SECONDS)
        self._tell(receipts)
        self._wake.set()

    def _send_next(self, key: str) -> None:
        if (row := self._hand.next_of(key)) is not None:
            self._send(row)

    def _single_producer(self) -> Producer:
        """Sends each message in a batch of its own, so that what the broker refuses is this message and no other."""
        if self._single is None:
            self._single = self._make_producer(self._kafka, on_receipts=self._receive, is_single=True)
        return self._single

    async def _replace_producer(self) -> None:
        """Begin anew with another one; what the old ones still have comes back as failed."""
        log.error("kafka.producer_replaced", reason="the client library cannot recover from its last error")
        old = [self._producer, *([self._single] if self._single else [])]
        self._producer = self._make_producer(self._kafka, on_receipts=self._receive)
        self._single = None
        self._is_broken = False
        await asyncio.gather(*(each.close(timeout_seconds=0) for each in old))

    async def _settle(self) -> None:
        acknowledged, self._acknowledged = self._acknowledged, []
        refused, self._refused = self._refused, []
        if not acknowledged and not refused:
            return
        try:
            await outbox.remove_alone(self._database, [row.position for row in acknowledged])
            if refused:
                async with self._database.transaction() as tx:
                    await self._bury(tx, refused)
        except BaseException:
            self._acknowledged += acknowledged
            self._refused += refused
            raise
        ended = [*acknowledged, *(row for row, _ in refused)]
        self._hand.forget(ended)
        if self._alone:
            self._alone.difference_update(row.position for row in ended)
        for (stream, type_), number in Counter((row.stream, row.type) for row in acknowledged).items():
            self._metrics.produced.labels(self._topics[stream], type_).inc(number)

    async def _bury(self, tx: Transaction, refused: Sequence[tuple[Row, str]]) -> None:
        for row, error in refused:
            if await outbox.remove(tx, [row.position]):  # not if it was another relay, or a commit unheard of
                await dead_letters.add_unsendable(tx, row, topic=self._topics[row.stream], error=error)

    def _tell(self, receipts: Sequence[Receipt]) -> None:
        """Log what arrived and what did not: one by one as long as there is little in hand, else as numbers."""
        failed = Counter((self._topics[row.stream], row.type, error) for row, error, _, _ in receipts if error)
        for (topic, type_, error), number in failed.items():
            self._metrics.produce_errors.labels(topic, type_, error.name()).inc(number)
            if not is_permanent(error):  # what is refused for ever is told when it becomes a dead letter
                self._tell_failure(topic, error)
        arrived = [receipt for receipt in receipts if receipt[1] is None]
        for stream in {row.stream for row, *_ in arrived}:
            self.troubles.went_well(self._topics[stream])
        if len(self._hand) > self._log_each:
            log.info("kafka.messages_delivered", messages=len(arrived))
            return
        for row, _, partition, offset in arrived:
            log.info(
                "kafka.message_delivered",
                topic=self._topics[row.stream],
                partition=partition,
                offset=offset,
                event_type=row.type,
                event_id=row.headers.get("ce_id"),
                request_id=row.headers.get("request_id"),
                **trace_of(traceparent_in(row.headers)),
            )

    def _tell_failure(self, topic: str, error: confluent_kafka.KafkaError) -> None:
        if trouble := self.troubles.met(topic, error):
            log.warning("kafka.delivery_failed", topic=topic, messages_in_hand=len(self._hand), **trouble.facts())

    def _tell_ends(self) -> None:
        for trouble, seconds in self.troubles.ended():
            log.info("kafka.delivery_recovered", topic=trouble.place, error=trouble.error, lasted_seconds=seconds)
