"""Whether this member of a group still gets partitions, or waits for ever.

After its session has run out during an outage, the client library may ask the group's coordinator again and again and
never come back into the group (seen with librdkafka 2.16, classic protocol: it stays in `wait-metadata`), while a new
client beside it is let in at once. So a member that has long been without an assignment, although the brokers answer,
is given up for a new one.
"""

import threading
import time
from typing import Final

import confluent_kafka
from confluent_kafka.admin import AdminClient

from usercenter.config.model import Kafka
from usercenter.messaging.client import client_logger, client_settings

PATIENCE_SECONDS: Final = 30.0
"""Longer than any rebalance that a session timeout of the default 10 s may take."""
_ANSWER_SECONDS: Final = 3.0


class Membership:
    """One member's wait for its partitions. All of it belongs to the consumer's thread."""

    def __init__(self, kafka: Kafka, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._kafka = kafka
        self._patience_seconds = patience_seconds
        self._waits_since: float | None = None

    def waits(self) -> None:
        """From now on an assignment is expected: joined just now, or thrown out of the group."""
        self._waits_since = time.monotonic()

    def was_assigned(self) -> None:
        """It came; an assignment of nothing is one too."""
        self._waits_since = None

    def is_stuck(self) -> bool:
        """Whether a new client should take over. Blocks up to three seconds, once in the patience."""
        if self._waits_since is None or time.monotonic() - self._waits_since < self._patience_seconds:
            return False
        self.waits()  # asked again after as long
        return self._do_brokers_answer()

    def _do_brokers_answer(self) -> bool:
        """Asked with a client of its own: that of a stuck member may not say so."""
        admin = AdminClient(client_settings(self._kafka), logger=client_logger())
        try:
            return bool(admin.list_topics(timeout=_ANSWER_SECONDS).brokers)
        except confluent_kafka.KafkaException:
            return False


def close_aside(consumer: confluent_kafka.Consumer) -> None:
    """Let a client go that may never answer: its end is not waited for."""
    threading.Thread(target=consumer.close, name="kafka-closing", daemon=True).start()
