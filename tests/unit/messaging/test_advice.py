"""Every error of the classic cases has a state, a next step and a page; and the page names it."""

from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import KafkaError

from usercenter.messaging import advice
from usercenter.messaging.advice import CANNOT_READ, NO_BROKER, SEND_FAILED, Doing, advise

ROOT = Path(__file__).parents[3]
CASES = [
    ("send", KafkaError._TRANSPORT, "no broker can be reached", "usercenter brokers", NO_BROKER),
    ("send", KafkaError.SASL_AUTHENTICATION_FAILED, "refuses the login", "correct the user or password", NO_BROKER),
    ("send", KafkaError.TOPIC_AUTHORIZATION_FAILED, "this user write", "its rights on the broker", SEND_FAILED),
    ("send", KafkaError.UNKNOWN_TOPIC_OR_PART, "no such topic", "usercenter topics create", SEND_FAILED),
    ("send", KafkaError.NOT_ENOUGH_REPLICAS, "too few replicas", "usercenter topics describe", SEND_FAILED),
    ("send", KafkaError.MSG_SIZE_TOO_LARGE, "of this size", "max.message.bytes", SEND_FAILED),
    ("send", KafkaError.REQUEST_TIMED_OUT, "did not take the message", "sent again", SEND_FAILED),
    ("read", KafkaError.GROUP_AUTHORIZATION_FAILED, "join the group", "its rights on the broker", CANNOT_READ),
    ("read", KafkaError.TOPIC_AUTHORIZATION_FAILED, "read the topic", "its rights on the broker", CANNOT_READ),
    ("read", KafkaError.INCONSISTENT_GROUP_PROTOCOL, "in another way", "usercenter groups describe", CANNOT_READ),
    ("read", KafkaError.UNKNOWN_TOPIC_OR_PART, "no such topic", "usercenter topics create", CANNOT_READ),
]


@pytest.mark.parametrize(("doing", "code", "state", "step", "page"), CASES)
def test_an_error_has_its_state_its_next_step_and_its_page(
    doing: Doing, code: int, state: str, step: str, page: str
) -> None:
    found = advise(KafkaError(code), doing=doing)

    assert state in found.state
    assert step in found.next
    assert found.meanwhile
    assert found.page == page


@pytest.mark.parametrize(("doing", "code", "state", "step", "page"), CASES)
def test_the_page_is_there_and_names_what_the_line_says(
    doing: Doing, code: int, state: str, step: str, page: str
) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")

    if code not in {KafkaError.REQUEST_TIMED_OUT, KafkaError._TRANSPORT, KafkaError.SASL_AUTHENTICATION_FAILED}:
        assert KafkaError(code).name() in text
        assert advise(KafkaError(code), doing=doing).state in text


def test_a_command_that_fails_says_what_where_meanwhile_next_and_the_page() -> None:
    failure = confluent_kafka.KafkaException(KafkaError(KafkaError._TRANSPORT, "Failed to get metadata"))

    assert advice.is_absence(failure)
    lines = advice.told(failure, brokers=["one:9092", "two:9092"]).splitlines()
    assert lines[0] == "no broker can be reached (asked: one:9092, two:9092): Failed to get metadata"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["meanwhile", "next", "see"]
    assert lines[-1].endswith(NO_BROKER)


def test_a_broker_that_says_no_is_there() -> None:
    refusal = confluent_kafka.KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    assert not advice.is_absence(refusal)
