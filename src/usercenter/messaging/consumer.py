"""One member of a consumer group: a thread that owns the Kafka consumer, and a batch at a time for the event loop.

Everything that touches the Kafka consumer happens on that thread. It takes up to 500 messages, the event loop handles
them in one database transaction, and only then are their offsets stored; what was merely seen is never committed.
While a batch takes long (the database is away, say) the partitions are paused and the thread goes on polling, so the
group does not throw us out. Before partitions are given away the batch in hand is finished, within limits.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import confluent_kafka
import structlog
from confluent_kafka import TopicPartition

from usercenter.clock import Clock, SystemClock
from usercenter.config.model import Kafka
from usercenter.messaging.advice import advise
from usercenter.messaging.batch import Received
from usercenter.messaging.client import client_logger, consumer_settings
from usercenter.messaging.delivery import Deliveries, Delivery
from usercenter.messaging.gaps import Gaps
from usercenter.messaging.incoming import received
from usercenter.messaging.membership import PATIENCE_SECONDS, Membership, close_aside
from usercenter.messaging.statistics import Statistics
from usercenter.messaging.troubles import Troubles
from usercenter.metrics import Metrics

log = structlog.get_logger()

_POLL_SECONDS: Final = 0.1
_PAUSED_POLL_SECONDS: Final = 1.0
_RESTART_SECONDS: Final = 2.0


def _new_client(settings: dict[str, Any]) -> confluent_kafka.Consumer:
    return confluent_kafka.Consumer(settings, logger=client_logger())


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
        clock: Clock | None = None,
        patience_seconds: float = 5.0,
        revoke_seconds: float = 10.0,
        join_seconds: float = PATIENCE_SECONDS,
        make_client: Callable[[dict[str, Any]], confluent_kafka.Consumer] = _new_client,
    ) -> None:
        """`patience_seconds`: after so long in one batch the partitions are paused, and the thread polls meanwhile.

        `revoke_seconds`: so long the batch in hand may hold up a rebalance. `join_seconds`: a client that has waited so
        long for its partitions, although the brokers answer, is given up for a new one.
        """
        self.group = group
        self.topic = topic
        self.is_assigned = False
        """Whether the group has given this member its partitions (perhaps none of them)."""
        self._kafka = kafka
        self._metrics = metrics
        self._patience_seconds = patience_seconds
        self._revoke_seconds = revoke_seconds
        self._deliveries = Deliveries(group, handle)
        self._gaps = Gaps(group, topic, metrics)
        self._in_hand: Delivery | None = None
        self._clock = clock or SystemClock()
        self._troubles = Troubles(self._clock, doing="read")
        self._problem: str | None = None
        self._make_client = make_client
        self._client: confluent_kafka.Consumer | None = None
        """Callbacks of any other one are late: it was given up."""
        self._membership = Membership(kafka, patience_seconds=join_seconds)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"kafka-{group}", daemon=True)

    @property
    def problem(self) -> str | None:
        """Why nothing can be read or handled right now, for /ready and /health."""
        cannot_read = [f"cannot read {each.place}: {each}" for each in self._troubles.current()]
        return self._problem or "; ".join(cannot_read) or self._deliveries.problem

    def start(self) -> None:
        """Join the group; returns at once."""
        self._thread.start()

    async def stop(self, *, timeout_seconds: float) -> None:
        """Finish the batch in hand, commit, leave the group. May be called twice.

        A batch that takes most of that time is given up, and read again by whoever comes next. A broker that does not
        answer is not waited for any longer either: then the last offsets may not be committed, and the inbox knows.
        """
        self._stopping.set()
        self._deliveries.stop()
        if await self._ends(timeout_seconds * 0.6):
            return
        if (in_hand := self._in_hand) is not None:
            in_hand.give_up()
        if not await self._ends(timeout_seconds * 0.4):
            log.warning("kafka.consumer_left_behind", group=self.group, reason="the broker does not answer")

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs: from the start until the group has been left."""
        return self._thread.is_alive()

    async def _ends(self, timeout_seconds: float) -> bool:
        if self.is_alive:
            await asyncio.to_thread(self._thread.join, timeout_seconds)
        return not self.is_alive

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read_until_stopped()
            except Exception as error:  # noqa: BLE001  # a thread that ends in silence would read nothing for ever
                self._note_failure(error)
                self._stopping.wait(_RESTART_SECONDS)

    def _note_failure(self, error: Exception) -> None:
        if isinstance(error, confluent_kafka.KafkaException):
            self._note_trouble(error.args[0])
        else:
            self._problem = f"the group cannot read: {error.__class__.__name__}"
            log.error("kafka.consumer_failed", group=self.group, topic=self.topic, exc_info=error)

    def _note_trouble(self, error: confluent_kafka.KafkaError) -> None:
        if trouble := self._troubles.met(self.topic, error):
            log.error("kafka.cannot_read", group=self.group, topic=self.topic, **trouble.facts())

    def _tell_ends(self) -> None:
        for trouble, seconds in self._troubles.ended():
            facts = {"topic": self.topic, "error": trouble.error, "lasted_seconds": seconds}
            log.info("kafka.reads_again", group=self.group, **facts)

    def _read_until_stopped(self) -> None:
        settings = Statistics(self.group, self._metrics).added_to(consumer_settings(self._kafka, self.group))
        self._client = consumer = self._make_client(settings)
        consumer.subscribe([self.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        self._membership.waits()
        close = consumer.close  # commits what is stored
        try:
            while not self._stopping.is_set():
                if self._membership.is_stuck():
                    log.error("kafka.member_renewed", group=self.group, reason="it waits for partitions in vain")
                    close = partial(close_aside, consumer)
                    return
                self._tell_ends()
                batch = self._take(consumer)
                self._gaps.look(consumer)
                self._gaps.follow(consumer, batch)
                if batch and not self._stopping.is_set():
                    self._deliver(consumer, batch)
        finally:
            self._abandon()
            self.is_assigned = False
            close()

    def _abandon(self) -> None:
        """Nothing of a batch may go on behind the back of the next consumer."""
        if self._in_hand is not None:
            self._in_hand.give_up()
            self._in_hand.ends_within(self._revoke_seconds)
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
        if error.fatal() or advise(error, doing="read").is_said_once:
            raise confluent_kafka.KafkaException(error)  # the group is joined again, until that works
        self._note_trouble(error)
        return False

    def _deliver(self, consumer: confluent_kafka.Consumer, batch: Sequence[Received]) -> None:
        """Have a batch handled, and store its offsets; if it is given up, read it again."""
        self._in_hand = delivery = self._deliveries.begin(batch)
        if not delivery.ends_within(self._patience_seconds):
            log.warning("kafka.consumer_paused", group=self.group, reason="the batch in hand takes long")
            self._poll_without_reading(consumer, until_end_of=delivery)
        self._settle(consumer)
        if delivery.was_given_up and not self._stopping.is_set():
            self._rewind(consumer, delivery)

    def _poll_without_reading(self, consumer: confluent_kafka.Consumer, *, until_end_of: Delivery) -> None:
        """Keep the membership meanwhile: polls bring rebalances, and no messages while all partitions are paused."""
        has_ended = False
        while not has_ended:
            consumer.pause(consumer.assignment())
            message = consumer.poll(0)
            if message is not None and self._is_good(message):
                found = received(message)
                consumer.seek(TopicPartition(found.topic, found.partition, found.offset))
            has_ended = until_end_of.ends_within(_PAUSED_POLL_SECONDS)
        consumer.resume(consumer.assignment())

    def _settle(self, consumer: confluent_kafka.Consumer) -> None:
        """Store the offsets of the batch in hand if it is handled; let go of it in any case."""
        delivery, self._in_hand = self._in_hand, None
        if delivery is None or not delivery.is_handled:
            return
        self._problem = None
        self._troubles.went_well(self.topic)
        for end in delivery.ends(self._clock.now()):
            try:
                consumer.store_offsets(offsets=[end])
            except confluent_kafka.KafkaException as error:  # given away meanwhile: its new owner meets the inbox
                reason = error.args[0].str()
                log.info("kafka.offset_not_stored", group=self.group, partition=end.partition, error=reason)

    def _rewind(self, consumer: confluent_kafka.Consumer, delivery: Delivery) -> None:
        """Go back to the start of a batch that was given up, on the partitions that we kept.

        Otherwise the next batch would begin behind it, and its offsets would cover what nobody has handled. Going back
        too far does no harm: the inbox knows.
        """
        kept = {(each.topic, each.partition) for each in consumer.assignment()}
        for start in delivery.starts():
            if (start.topic, start.partition) in kept:
                consumer.seek(start)

    def _on_assign(self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        if consumer is not self._client:
            return
        consumer.resume(partitions)  # a pause outlives the loss of a partition; all else the consumer does by itself
        self._problem = None
        self._troubles.went_well(self.topic)
        self.is_assigned = True
        self._membership.was_assigned()
        self._gaps.assigned(partitions)
        log.info("kafka.partitions_assigned", group=self.group, topic=self.topic, partitions=_numbers(partitions))

    def _on_revoke(self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        if consumer is not self._client:
            return
        if self._in_hand is not None and self._in_hand.concerns(partitions):
            self._in_hand.ends_within(self._revoke_seconds)
            self._in_hand.give_up()
            self._settle(consumer)
        self._gaps.given_away(partitions)
        log.info("kafka.partitions_revoked", group=self.group, topic=self.topic, partitions=_numbers(partitions))

    def _on_lost(self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        if consumer is not self._client:
            return
        self.is_assigned = False
        self._membership.waits()
        self._gaps.given_away(partitions)
        log.warning("kafka.partitions_lost", group=self.group, topic=self.topic, partitions=_numbers(partitions))


def _numbers(partitions: Sequence[TopicPartition]) -> list[int]:
    return sorted(each.partition for each in partitions)
