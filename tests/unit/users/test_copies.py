from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from usercenter.users.copies import Copies, Owner
from usercenter.users.model import User
from usercenter.users.tokens import Claims

NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)


class ByHand:
    """A monotonic clock that is moved by hand."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def monotonic():
    return ByHand()


@pytest.fixture
def copies(monotonic):
    found = Copies(seconds=2, monotonic=monotonic)
    found.begin()
    return found


def owner_of(number, role="user"):
    about = {"username": f"u{number}", "email": f"u{number}@x", "role": role, "created_at": NOW, "updated_at": NOW}
    return Owner(User(id=UUID(int=number), **about), NOW + timedelta(days=1))


def session_of(number):
    return UUID(int=100_000 + number)


def keep(copies, number, session=None, role="user"):
    with copies.watched() as watch:
        copies.keep(session or session_of(number), owner_of(number, role), watch)


def found(copies, number, session=None, *, now=NOW):
    user = copies.find(Claims(UUID(int=number), session or session_of(number)), now=now)
    return user.username if user else None


def test_a_copy_is_found_by_user_and_session_together(copies):
    keep(copies, 1)

    assert found(copies, 1) == "u1"
    assert found(copies, 2, session_of(1)) is None
    assert found(copies, 1, session_of(2)) is None


def test_a_copy_is_used_for_its_seconds_and_no_longer(copies, monotonic):
    keep(copies, 1)

    monotonic.seconds += 1.9
    assert found(copies, 1) == "u1"
    monotonic.seconds += 0.1
    assert found(copies, 1) is None


def test_the_seconds_begin_with_the_question_and_not_with_its_answer(copies, monotonic):
    with copies.watched() as watch:
        monotonic.seconds += 2
        copies.keep(session_of(1), owner_of(1), watch)

    assert found(copies, 1) is None


def test_a_session_that_expires_within_those_seconds_is_not_longer_believed(copies):
    keep(copies, 1)

    assert found(copies, 1, now=NOW + timedelta(days=1)) is None


def test_a_change_drops_every_session_of_that_user_and_of_no_other(copies):
    for number, session in ((1, 1), (1, 3), (2, 2)):
        keep(copies, number, session_of(session))
    copies.drop([UUID(int=1)])

    assert [found(copies, 1), found(copies, 1, session_of(3)), found(copies, 2)] == [None, None, "u2"]


def test_an_answer_that_is_older_than_a_change_is_not_kept(copies):
    with copies.watched() as watch:
        copies.drop([UUID(int=1)])
        copies.keep(session_of(1), owner_of(1), watch)
        copies.keep(session_of(2), owner_of(2), watch)

    assert [found(copies, 1), found(copies, 2)] == [None, "u2"]


def test_when_changes_may_go_unheard_everything_is_forgotten_and_nothing_kept(copies):
    keep(copies, 1)
    copies.end()
    keep(copies, 2)

    assert [found(copies, 1), found(copies, 2)] == [None, None]


def test_an_answer_that_saw_a_gap_is_not_kept_although_somebody_listens_again(copies):
    with copies.watched() as watch:
        copies.end()
        copies.begin()
        copies.keep(session_of(1), owner_of(1), watch)

    assert found(copies, 1) is None


def test_nothing_is_kept_before_somebody_listens(monotonic):
    copies = Copies(seconds=2, monotonic=monotonic)
    keep(copies, 1)

    assert found(copies, 1) is None


def test_an_answer_to_a_question_that_was_asked_before_somebody_listened_is_not_kept(monotonic):
    copies = Copies(seconds=2, monotonic=monotonic)
    with copies.watched() as watch:
        copies.begin()
        copies.keep(session_of(1), owner_of(1), watch)

    assert found(copies, 1) is None


def test_without_seconds_nothing_is_ever_found(monotonic):
    copies = Copies(seconds=0, monotonic=monotonic)
    copies.begin()
    keep(copies, 1)

    assert found(copies, 1) is None


def test_the_users_that_were_not_asked_for_longest_make_room(copies):
    for number in range(1, 5_002):
        keep(copies, number)

    assert [found(copies, 1), found(copies, 2), found(copies, 5_001)] == [None, "u2", "u5001"]


@pytest.mark.parametrize("role", ["auditor", "admin"])
def test_nobody_with_power_over_others_is_kept(copies, role):
    keep(copies, 1, role=role)

    assert found(copies, 1) is None
