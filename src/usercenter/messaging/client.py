"""What every Kafka client of ours is told: where the brokers are, how to recover, where its log lines go."""

import logging
import re
import time
from typing import Any, Final

import confluent_kafka

from usercenter.config.model import Kafka

_FETCHES_AHEAD: Final = 16
BrokerFailure: Final = confluent_kafka.KafkaException
"""What any call to the brokers raises; for those who must not import the client library."""


def client_settings(kafka: Kafka) -> dict[str, Any]:
    """Settings in librdkafka's names that producer, consumers and admin client share."""
    return {
        "bootstrap.servers": ",".join(kafka.brokers),
        "client.id": kafka.client_id,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "allow.auto.create.topics": False,
        "log.connection.close": False,
        **kafka.librdkafka,
    }


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
        # librdkafka would hold 64 MB for each consumer; a record that is larger than this is read all the same. What a
        # fetch brings is compressed, comes for every partition at once, and is five times as much when it is read
        "queued.max.messages.kbytes": consumer.prefetch_kbytes,
        "fetch.message.max.bytes": consumer.prefetch_kbytes * 1_024 // _FETCHES_AHEAD,
        # with that much in hand it stops fetching for so long; by default a second, in which all of it is handled
        "fetch.queue.backoff.ms": 20,
        "max.poll.interval.ms": 300_000,
        # a member that loses its coordinator just as its session ends may wait without one until it asks again: 10 min
        "coordinator.query.interval.ms": 10_000,
    }
    if consumer.group_protocol == "classic":  # with the new protocol the broker decides these
        settings |= {
            "partition.assignment.strategy": consumer.assignment_strategy,
            "session.timeout.ms": consumer.session_timeout_ms,
            "heartbeat.interval.ms": consumer.heartbeat_interval_ms,
        }
    return settings | client_settings(kafka)


class _NotAgainAndAgain(logging.Filter):
    """Lets a line through once in half a minute; every client says each second that a broker is not there."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        self._said = {line: at for line, at in self._said.items() if now - at < _SILENCE_SECONDS}
        line = re.sub(r"#\w+-\d+|after \d+ms|\d+ identical", "", record.getMessage())
        return self._said.setdefault(line, now) == now


_SILENCE_SECONDS: Final = 30.0
_not_again_and_again: Final = _NotAgainAndAgain()


def client_logger() -> logging.Logger:
    """Where librdkafka's own lines go; the name has `kafka` in it, so that a grep finds them."""
    logger = logging.getLogger("kafka.client")
    logger.addFilter(_not_again_and_again)  # does nothing the second time
    return logger


def topics_by_stream(kafka: Kafka) -> dict[str, str]:
    """The topic of each stream, dead letters included: `user_events` → `user.events`, `user_events.dlq` → `….dlq`."""
    plain = {
        "user_events": kafka.topics.user_events,
        "user_notifications": kafka.topics.user_notifications,
        "user_analytics": kafka.topics.user_analytics,
    }
    return plain | {f"{stream}.dlq": f"{topic}.dlq" for stream, topic in plain.items()}
