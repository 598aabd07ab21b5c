"""One member of a consumer group: a thread that owns the Kafka consumer, and a batch at a time for the event loop.

Everything that touches the Kafka consumer happens on that thread. It takes up to 500 messages, the event loop handles
them in one database transaction, and only then are their offsets stored; what was merely seen is never committed.
While a batch takes long (the database is away, say) the partitions are paused and the thread goes on polling, so the
group does not throw us out. Before partitions are given away the batch in hand is finished, within limits.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

import confluent_kafka
import structlog
from confluent_kafka import TopicPartition

from usercenter.config.model import Kafka
from usercenter.db import is_transient
from usercenter.messaging.client import client_logger, client_settings
from usercenter.messaging.dead_letters import describe
from usercenter.messaging.router import Received
from usercenter.metrics import Metrics

log = structlog.get_logger()

Headers = list[tuple[str, str | bytes | None]]

_POLL_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 5.0  # then the partitions are paused and the thread keeps polling
_REVOKE_SECONDS: Final = 10.0
_RESTART_SECONDS: Final = 2.0
_LONGEST_WAIT_SECONDS: Final = 10.0


def consumer_settings(kafka: Kafka, group: str) -> dict[str, Any]:
    """Our consumer settings in librdkafka's names.

    `auto.offset.reset` is not the group's first start, which `messaging/offsets.py` has pinned, but what a missing
    commit means afterwards: the oldest record that is left.
    """
    consumer = kafka.consumer
    settings: dict[str, Any] = {
        "group.id": group,
        "group.protocol": consumer.group_protocol,
        "enable.auto.offset.store": False,
        "enable.auto.commit": True,
        "auto.commit.interval.ms": consumer.auto_commit_interval_ms,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 100,
        "max.poll.interval.ms": 300_000,
    }
    if consumer.group_protocol == "classic":  # with the new protocol the broker decides these
        settings |= {
            "partition.assignment.strategy": consumer.assignment_strategy,
            "session.timeout.ms": consumer.session_timeout_ms,
            "heartbeat.interval.ms": consumer.heartbeat_interval_ms,
        }
    return settings | client_settings(kafka)


class Consumer:
    """Reads one topic for one group and gives batches to `handle`, in order, each until it is done."""

    def __init__(
        self,
        kafka: Kafka,
        *,
        group: str,
        topic: str,
        handle: Callable[[Sequence[Received]], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        self.group = group
        self.topic = topic
        self.problem: str | None = None
        """Why nothing can be read or handled right now, for /ready and /health."""
        self.is_assigned = False
        """Whether the group has given this member its partitions (perhaps none of them)."""
        self._kafka = kafka
        self._handle = handle
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._in_hand: tuple[Sequence[Received], concurrent.futures.Future[bool]] | None = None
        self._thread = threading.Thread(target=self._run, name=f"kafka-{group}", daemon=True)

    def start(self) -> None:
        """Join the group; returns at once."""
        self._thread.start()

    async def stop(self) -> None:
        """Finish the batch in hand, commit, leave the group. May be called twice."""
        self._stopping.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read_until_stopped()
            except confluent_kafka.KafkaException as error:
                self.problem = f"the group cannot read: {error.args[0].str()}"
                log.error("kafka.consumer_failed", group=self.group, topic=self.topic, error=self.problem)
                self._stopping.wait(_RESTART_SECONDS)

    def _read_until_stopped(self) -> None:
        consumer = confluent_kafka.Consumer(consumer_settings(self._kafka, self.group), logger=client_logger())
        consumer.subscribe([self.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        try:
            while not self._stopping.is_set():
                batch = self._take(consumer)
                if batch:
                    self._deliver(consumer, batch)
        finally:
            self._abandon()
            consumer.close()  # commits what is stored

    def _abandon(self) -> None:
        """Nothing of a batch may go on behind the back of the next consumer."""
        if self._in_hand is not None:
            self._in_hand[1].cancel()
            concurrent.futures.wait([self._in_hand[1]], timeout=_REVOKE_SECONDS)
            self._in_hand = None

    def _take(self, consumer: confluent_kafka.Consumer) -> list[Received]:
        first = consumer.poll(_POLL_SECONDS)
        if first is None:
            return []
        messages = [first, *consumer.consume(self._kafka.consumer.batch_messages - 1, 0)]
        return [received(message) for message in messages if self._is_good(message)]

    def _is_good(self, message: confluent_kafka.Message) -> bool:
        error = message.error()
        if error is None:
            return True
        self._metrics.consume_errors.labels(self.topic, "other", self.group, error.name()).inc()
        log.warning("kafka.consumer_error", group=self.group, topic=self.topic, error=error.str())
        if not error.retriable():
            self.problem = error.str()
        return False

    def _deliver(self, consumer: confluent_kafka.Consumer, batch: Sequence[Received]) -> None:
        future = asyncio.run_coroutine_threadsafe(self._handle_until_done(batch), self._loop)
        self._in_hand = (batch, future)
        is_paused = False
        while not concurrent.futures.wait([future], timeout=_PATIENCE_SECONDS if not is_paused else 1.0).done:
            if not is_paused:
                is_paused = True
                log.warning("kafka.consumer_paused", group=self.group, reason="the batch in hand takes long")
            consumer.pause(consumer.assignment())
            message = consumer.poll(0)  # keeps the membership; brings rebalances, not messages
            if message is not None and message.error() is None:
                found = received(message)
                consumer.seek(TopicPartition(found.topic, found.partition, found.offset))
        self._settle(consumer)
        if is_paused:
            consumer.resume(consumer.assignment())

    def _settle(self, consumer: confluent_kafka.Consumer) -> None:
        """Store the offsets of the batch in hand if it is done; forget it in any case."""
        if self._in_hand is None:
            return
        (batch, future), self._in_hand = self._in_hand, None
        if future.cancelled() or not future.done() or not future.result():
            return
        ends = {(each.topic, each.partition): each.offset + 1 for each in batch}
        for (topic, partition), offset in ends.items():
            try:
                consumer.store_offsets(offsets=[TopicPartition(topic, partition, offset)])
            except confluent_kafka.KafkaException as error:  # given away meanwhile: its new owner meets the inbox
                log.info("kafka.offset_not_stored", group=self.group, partition=partition, error=error.args[0].str())

    async def _handle_until_done(self, batch: Sequence[Received]) -> bool:
        """Repeat the batch until it is committed; False when we were told to stop before that."""
        wait_seconds = 0.1
        while True:
            try:
                await self._handle(batch)
            except Exception as error:  # noqa: BLE001  # a batch is never skipped: it waits, and says why
                self.problem = describe(error)
                level = log.warning if is_transient(error) else log.error
                level("kafka.batch_waits", group=self.group, error=self.problem, next_attempt_in_seconds=wait_seconds)
            else:
                self.problem = None
                return True
            if await asyncio.to_thread(self._stopping.wait, wait_seconds):
                return False
            wait_seconds = min(_LONGEST_WAIT_SECONDS, wait_seconds * 2)

    def _on_assign(self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        del consumer  # it assigns by itself
        self.problem = None
        self.is_assigned = True
        log.info("kafka.partitions_assigned", group=self.group, topic=self.topic, partitions=_numbers(partitions))

    def _on_revoke(self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        if self._in_hand is not None:
            concurrent.futures.wait([self._in_hand[1]], timeout=_REVOKE_SECONDS)
            self._in_hand[1].cancel()  # does nothing if it is done
            self._settle(consumer)
        log.info("kafka.partitions_revoked", group=self.group, topic=self.topic, partitions=_numbers(partitions))

    def _on_lost(self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        del consumer
        log.warning("kafka.partitions_lost", group=self.group, topic=self.topic, partitions=_numbers(partitions))


def _numbers(partitions: Sequence[TopicPartition]) -> list[int]:
    return sorted(each.partition for each in partitions)


def received(message: confluent_kafka.Message) -> Received:
    """A message of the client library as ours; header values that are not UTF-8 keep their bytes as escapes."""
    return Received(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=message.key(),
        value=message.value(),
        headers={name: _text(value) for name, value in cast("Headers", message.headers() or ())},
    )


def _text(value: str | bytes | None) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value or ""
