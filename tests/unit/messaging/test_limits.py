"""When a group stops itself, and when it does not."""

from datetime import UTC, datetime, timedelta

import pytest

from usercenter.clock import HeldClock
from usercenter.config.model import Limits as Settings
from usercenter.messaging.limits import Limits, Verdict

FINE, PARKED, DEAD = Verdict.FINE, Verdict.PARKED, Verdict.DEAD


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock(datetime(2026, 7, 1, tzinfo=UTC))


@pytest.fixture
def limits(clock: HeldClock) -> Limits:
    return Limits(Settings(dead_in_a_row=5, window_events=20, failed_percent=50, parked_users=7), clock)


def test_dead_letters_in_a_row_are_counted_over_batches(limits: Limits) -> None:
    limits.note([FINE, DEAD, DEAD])
    assert limits.passed_with([DEAD, DEAD]) is None
    limits.note([DEAD, DEAD])
    assert limits.passed_with([DEAD]) == "5 dead letters in a row (limits.dead_in_a_row: 5)"


@pytest.mark.parametrize("other", [FINE, PARKED])
def test_anything_else_ends_a_row(limits: Limits, other: Verdict) -> None:
    limits.note([DEAD, DEAD, DEAD, DEAD, other])
    assert limits.passed_with([DEAD, DEAD, DEAD, DEAD]) is None


def test_a_row_in_the_middle_of_a_batch_counts(limits: Limits) -> None:
    assert limits.passed_with([DEAD] * 6 + [FINE]) == "6 dead letters in a row (limits.dead_in_a_row: 5)"


def test_half_of_enough_events_is_too_much(limits: Limits) -> None:
    limits.note([FINE, PARKED] * 9)
    assert limits.passed_with([PARKED]) is None
    assert limits.passed_with([FINE, FINE, FINE]) is None
    reason = limits.passed_with([PARKED, FINE])
    assert reason == "10 of the last 20 events failed (limits.failed_percent: 50 of at least 20)"


def test_what_is_long_ago_does_not_count(limits: Limits, clock: HeldClock) -> None:
    limits.note([PARKED] * 19)
    clock.advance(timedelta(seconds=61))
    assert limits.passed_with([PARKED]) is None


def test_parked_users_are_limited(limits: Limits) -> None:
    assert limits.passed_with([PARKED], parked_users=6) is None
    assert limits.passed_with([PARKED], parked_users=7) == "7 users of one handler are parked (limits.parked_users: 7)"


def test_after_a_resumption_counting_begins_anew(limits: Limits) -> None:
    limits.note([DEAD] * 4)
    limits.note([PARKED] * 15)
    limits.begin_anew()
    assert limits.passed_with([DEAD] * 4) is None


def test_asking_counts_nothing(limits: Limits) -> None:
    for _ in range(3):
        assert limits.passed_with([DEAD] * 4) is None
