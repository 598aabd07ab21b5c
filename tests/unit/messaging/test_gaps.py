"""Which holes in a partition are losses, and which are told once."""

from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import TopicPartition

from usercenter.messaging.batch import Received
from usercenter.messaging.gaps import Gaps
from usercenter.metrics import Metrics

TOPIC = "user.events"


class Broker:
    """What a consumer is told when it asks."""

    def __init__(self, *, committed: int = -1001, low: int = 0) -> None:
        self.committed_offset = committed
        self.low = low
        self.is_away = False
        self.asked = 0

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self._answer()
        return [TopicPartition(each.topic, each.partition, self.committed_offset) for each in partitions]

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        self._answer()
        return self.low, 1_000

    def store_offsets(self, offsets: list[TopicPartition]) -> None:
        (self.committed_offset,) = [each.offset for each in offsets]

    def _answer(self) -> None:
        self.asked += 1
        if self.is_away:
            raise confluent_kafka.KafkaException(confluent_kafka.KafkaError(confluent_kafka.KafkaError._TIMED_OUT))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def gaps(metrics: Metrics) -> Gaps:
    found = Gaps("usercenter", TOPIC, metrics)
    found.assigned([TopicPartition(TOPIC, 1)])
    return found


def batch(*offsets: int) -> list[Received]:
    return [Received(TOPIC, 1, offset, None, None, {}) for offset in offsets]


def lost(metrics: Metrics) -> float:
    return (
        metrics.registry.get_sample_value("usercenter_records_lost_total", {"group": "usercenter", "topic": TOPIC}) or 0
    )


@pytest.mark.parametrize(
    ("committed", "low", "count"),
    [(5, 12, 7), (5, 5, 0), (5, 0, 0), (-1001, 12, 0)],
    ids=["deleted", "just kept", "all there", "never committed"],
)
def test_what_was_deleted_behind_the_commit_is_counted_at_the_assignment(
    gaps: Gaps, metrics: Metrics, committed: int, low: int, count: int
) -> None:
    broker: Any = Broker(committed=committed, low=low)
    gaps.look(broker)
    gaps.follow(broker, batch(low, low + 1))
    gaps.assigned([TopicPartition(TOPIC, 1)])
    gaps.look(broker)
    assert lost(metrics) == count, "told once"


def test_a_jump_is_a_loss_only_where_the_broker_has_nothing_before_it(gaps: Gaps, metrics: Metrics) -> None:
    broker: Any = Broker(committed=0, low=0)
    gaps.look(broker)
    gaps.follow(broker, batch(0, 1, 3))  # offset 2 is the mark of a transaction
    assert lost(metrics) == 0
    broker.low = 10
    gaps.follow(broker, batch(10, 11))
    assert lost(metrics) == 6


def test_offsets_in_a_row_ask_the_broker_nothing(gaps: Gaps) -> None:
    broker: Any = Broker(committed=0)
    gaps.look(broker)
    asked = broker.asked
    gaps.follow(broker, batch(0, 1, 2))
    gaps.follow(broker, batch(1, 2, 3))  # a batch that was given up is read again
    gaps.look(broker)
    assert broker.asked == asked


def test_a_broker_that_does_not_answer_is_asked_again(gaps: Gaps, metrics: Metrics) -> None:
    broker: Any = Broker(committed=2, low=5)
    broker.is_away = True
    gaps.look(broker)
    assert lost(metrics) == 0
    broker.is_away = False
    gaps.look(broker)
    assert lost(metrics) == 3


def test_a_partition_that_comes_back_is_compared_anew(gaps: Gaps, metrics: Metrics) -> None:
    broker: Any = Broker(committed=0)
    gaps.look(broker)
    gaps.follow(broker, batch(0, 1))
    gaps.given_away([TopicPartition(TOPIC, 1), TopicPartition(TOPIC, 2)])
    gaps.assigned([TopicPartition(TOPIC, 1)])
    broker.committed_offset = broker.low = 40  # somebody else has read on meanwhile
    gaps.look(broker)
    gaps.follow(broker, batch(40))
    assert lost(metrics) == 0
