"""What only a person can mend has a next step; what passes by itself has none."""

import confluent_kafka
import pytest
from confluent_kafka import KafkaError

from usercenter.messaging.advice import next_step


@pytest.mark.parametrize(
    ("code", "step"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "its rights on the broker"),
        (KafkaError.SASL_AUTHENTICATION_FAILED, "correct the user or password"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "usercenter topics create"),
        (KafkaError.NOT_ENOUGH_REPLICAS, "too few replicas"),
        (KafkaError.REQUEST_TIMED_OUT, "nothing"),
    ],
)
def test_the_next_step_is_said_where_there_is_one(code: int, step: str) -> None:
    assert step in next_step(confluent_kafka.KafkaError(code), otherwise="nothing")
