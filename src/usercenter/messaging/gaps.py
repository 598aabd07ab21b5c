"""Records that were deleted before their group had read them: retention takes what is old, whoever still needs it.

Kafka's client says nothing then, and goes on with the oldest record that is left. Here the gap is seen: when a
partition is assigned, by what the group has committed, and later by a jump in the offsets. It is told (log and metric)
and passed over: the group works, so /ready stays as it is. The events are not lost: `event_log` has them.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import confluent_kafka
import structlog
from confluent_kafka import TopicPartition

from usercenter.messaging.advice import CANNOT_READ
from usercenter.messaging.batch import Received
from usercenter.metrics import Metrics

log = structlog.get_logger()

TIMEOUT_SECONDS: Final = 2.0


class Gaps:
    """What one member of a group knows about its partitions; for the consumer's thread alone."""

    def __init__(self, group: str, topic: str, metrics: Metrics) -> None:
        self._group = group
        self._topic = topic
        self._metrics = metrics
        self._new: set[int] = set()
        self._next: dict[int, int] = {}
        """Which offset of a partition comes after those that were seen."""

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """These are ours from now on; asks nobody yet."""
        self._new.update(each.partition for each in partitions)

    def given_away(self, partitions: Iterable[TopicPartition]) -> None:
        """These are ours no more; may be called for some that never were."""
        for each in partitions:
            self._new.discard(each.partition)
            self._next.pop(each.partition, None)

    def look(self, consumer: confluent_kafka.Consumer) -> None:
        """Compare what was assigned since the last look with what the group has committed; blocks for a moment then.

        Where the broker does not answer, the next look asks again.
        """
        for partition in sorted(self._new):
            try:
                (committed,) = consumer.committed([TopicPartition(self._topic, partition)], timeout=TIMEOUT_SECONDS)
                if committed.error is None and committed.offset >= 0:
                    self._compare_with(consumer, committed)
            except confluent_kafka.KafkaException as error:
                log.info("kafka.gaps_not_looked_for", group=self._group, error=error.args[0].str())
                return
            self._new.discard(partition)

    def follow(self, consumer: confluent_kafka.Consumer, batch: Sequence[Received]) -> None:
        """Note how far a batch reaches; where it jumps, the broker is asked whether records are gone.

        Not every jump is a loss: the marks of other producers' transactions have offsets too.
        """
        for message in batch:
            expected = self._next.get(message.partition, message.offset)
            if message.offset > expected:
                self._look_at_jump(consumer, message, expected)
            self._next[message.partition] = message.offset + 1

    def _compare_with(self, consumer: confluent_kafka.Consumer, committed: TopicPartition) -> None:
        """Told once: the group's next commit is at the oldest record, also if no message ever comes."""
        low = self._low(consumer, committed.partition)
        if low > committed.offset:
            consumer.store_offsets(offsets=[TopicPartition(self._topic, committed.partition, low)])
            self._tell(committed.partition, committed.offset, low)

    def _look_at_jump(self, consumer: confluent_kafka.Consumer, message: Received, expected: int) -> None:
        try:
            goes_on = min(message.offset, self._low(consumer, message.partition))
        except confluent_kafka.KafkaException as error:
            log.warning("kafka.gaps_not_looked_for", group=self._group, error=error.args[0].str())
        else:
            if goes_on > expected:
                self._tell(message.partition, expected, goes_on)

    def _low(self, consumer: confluent_kafka.Consumer, partition: int) -> int:
        """The oldest offset that the broker still has."""
        low, _ = consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=TIMEOUT_SECONDS)
        return int(low)

    def _tell(self, partition: int, expected: int, goes_on: int) -> None:
        self._metrics.records_lost.labels(self._group, self._topic).inc(goes_on - expected)
        log.error(
            "kafka.records_lost",
            group=self._group,
            topic=self._topic,
            partition=partition,
            count=goes_on - expected,
            first_offset=expected,
            reason="deleted by the topic's retention before the group had read them",
            meanwhile=f"the group goes on at offset {goes_on}; the events are in event_log",
            see=CANNOT_READ,
            next=f"usercenter verify says which; usercenter replay --missing --group {self._group} brings them back",
        )
