"""When a breaker opens, probes and closes."""

from datetime import UTC, datetime, timedelta

import pytest

from usercenter.clock import HeldClock
from usercenter.events import new_id
from usercenter.messaging.breaker import Breaker


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock(datetime(2026, 7, 1, tzinfo=UTC))


@pytest.fixture
def breaker(clock: HeldClock) -> Breaker:
    return Breaker(failures=3, seconds=30, longest_seconds=100, monotonic=clock.monotonic)


def opened(breaker: Breaker) -> Breaker:
    for _ in range(3):
        breaker.note_failure(new_id())
    assert not breaker.is_closed
    return breaker


def test_it_opens_when_enough_users_in_a_row_have_failed(breaker: Breaker) -> None:
    assert [breaker.note_failure(new_id()) for _ in range(3)] == [False, False, True]
    assert (breaker.is_closed, breaker.may_probe, breaker.seconds_left) == (False, False, 30)


def test_one_user_with_a_problem_of_its_own_does_not_open_it(breaker: Breaker) -> None:
    user = new_id()
    assert not any(breaker.note_failure(user) for _ in range(50))
    assert breaker.is_closed


def test_a_success_between_them_begins_a_new_row(breaker: Breaker) -> None:
    breaker.note_failure(new_id())
    breaker.note_failure(new_id())
    assert not breaker.note_success()
    assert not breaker.note_failure(new_id())
    assert breaker.is_closed


def test_after_its_time_one_may_probe(breaker: Breaker, clock: HeldClock) -> None:
    opened(breaker)
    clock.advance(timedelta(seconds=29.9))
    assert not breaker.may_probe
    clock.advance(timedelta(seconds=0.1))
    assert breaker.may_probe
    assert breaker.note_success(), "it closes"
    assert (breaker.is_closed, breaker.may_probe, breaker.seconds_left) == (True, False, 0)


def test_each_probe_that_fails_doubles_the_wait_up_to_the_longest(breaker: Breaker, clock: HeldClock) -> None:
    opened(breaker)
    waits = []
    for _ in range(3):
        clock.advance(timedelta(seconds=breaker.seconds_left))
        assert breaker.note_failure(new_id())
        waits.append(breaker.seconds_left)
    assert waits == [60, 100, 100]


def test_what_fails_while_it_is_open_was_begun_before_and_changes_nothing(breaker: Breaker, clock: HeldClock) -> None:
    opened(breaker)
    clock.advance(timedelta(seconds=10))
    assert not breaker.note_failure(new_id())
    assert breaker.seconds_left == 20


def test_after_it_was_closed_it_begins_with_the_first_wait(breaker: Breaker, clock: HeldClock) -> None:
    opened(breaker)
    clock.advance(timedelta(seconds=30))
    breaker.note_failure(new_id())
    breaker.note_success()
    assert opened(breaker).seconds_left == 30
