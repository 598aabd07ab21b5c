"""A trouble is said once, again every few minutes, and when it is over: after a while without it."""

from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import KafkaError

from usercenter.clock import HeldClock
from usercenter.messaging.troubles import Troubles

START = datetime(2026, 11, 24, 3, tzinfo=UTC)
MISSING = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
FORBIDDEN = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock(START)


@pytest.fixture
def troubles(clock: HeldClock) -> Troubles:
    return Troubles(clock, doing="send", calm_seconds=3, again_seconds=300)


def test_it_is_said_at_first_and_every_few_minutes_with_the_same_beginning(troubles, clock) -> None:
    said = []
    for _ in range(1_000):
        said.append(troubles.met("user.events", MISSING))
        clock.advance(timedelta(seconds=1))

    found = [number for number, each in enumerate(said) if each]
    assert found == [0, 300, 600, 900]
    assert {each.since for each in said if each} == {START}


def test_another_error_or_another_place_is_news(troubles) -> None:
    assert troubles.met("user.events", MISSING)
    assert troubles.met("user.events", FORBIDDEN)
    assert troubles.met("user.analytics", MISSING)
    assert len(troubles.current()) == 3


def test_the_many_codes_of_one_absence_are_one_trouble(troubles, clock) -> None:
    assert troubles.met("user.events", KafkaError(KafkaError._TRANSPORT))
    clock.advance(timedelta(seconds=5))
    assert troubles.met("user.events", KafkaError(KafkaError._MSG_TIMED_OUT)) is None
    assert len(troubles.current()) == 1


def test_it_is_over_after_a_while_without_it_and_that_is_told_once(troubles, clock) -> None:
    troubles.met("user.events", MISSING)
    clock.advance(timedelta(seconds=60))
    troubles.went_well("user.events")
    assert troubles.ended() == []
    clock.advance(timedelta(seconds=3))

    ((trouble, lasted),) = troubles.ended()
    assert (trouble.place, lasted) == ("user.events", 60)
    assert troubles.ended() == troubles.current() == []


def test_it_is_not_over_while_another_partition_still_fails(troubles, clock) -> None:
    for _ in range(10):
        troubles.met("user.events", MISSING)
        troubles.went_well("user.events")
        clock.advance(timedelta(seconds=2))
        assert troubles.ended() == []


def test_what_works_elsewhere_ends_nothing(troubles, clock) -> None:
    troubles.met("user.events", MISSING)
    troubles.went_well("user.analytics")
    clock.advance(timedelta(seconds=60))
    assert troubles.ended() == []


def test_in_words_it_says_what_since_when_what_goes_on_what_to_do_and_where_to_read(troubles) -> None:
    troubles.met("user.events", MISSING)

    text = str(troubles.current()[0])
    assert text.startswith("the broker has no such topic (UNKNOWN_TOPIC_OR_PART: ")
    for part in ("since 2026-11-24T03:00:00+00:00", "outbox", "next: ", "docs/errors/send-failed.md"):
        assert part in text
