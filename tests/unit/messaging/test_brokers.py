"""The watch over the brokers: one outage is said once, whatever the client library calls it from look to look."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from confluent_kafka import KafkaError, KafkaException

from usercenter.clock import HeldClock
from usercenter.config.model import Kafka
from usercenter.messaging.brokers import LOOK_EVERY_SECONDS, BrokerWatch

START = datetime(2026, 11, 24, 3, tzinfo=UTC)


class Silent:
    """An admin client whose every question fails, with one error after the other."""

    def __init__(self, *codes: int) -> None:
        self._codes = list(codes)

    def list_topics(self, *, timeout: float) -> Any:
        raise KafkaException(KafkaError(self._codes.pop(0)))

    def poll(self, timeout: float) -> int:
        return 0


def told(*codes: int) -> list[Any]:
    """The lines of the log, after looks five seconds apart that failed so."""
    clock = HeldClock(START)
    watch, admin = BrokerWatch(Kafka(brokers=["127.0.0.1:1"]), clock=clock), Silent(*codes)
    with structlog.testing.capture_logs() as lines:
        for _ in codes:
            watch.look(admin)  # type: ignore[arg-type]
            clock.advance(timedelta(seconds=LOOK_EVERY_SECONDS))
    return [line for line in lines if line["event"] == "kafka.broker_unreachable"]


@pytest.mark.parametrize(
    "codes",
    [
        (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._RESOLVE),
        (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TRANSPORT),
    ],
)
def test_one_outage_is_told_once(codes) -> None:
    [line] = told(*codes)

    assert line["since"] == "2026-11-24T03:00:00+00:00"


def test_another_cause_of_the_same_outage_is_told_with_the_same_beginning() -> None:
    first, second = told(KafkaError._TRANSPORT, KafkaError._AUTHENTICATION)

    assert "refuses the login" in second["state"]
    assert first["since"] == second["since"] == "2026-11-24T03:00:00+00:00"
