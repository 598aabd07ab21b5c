"""The table of reactions: what may stand in it, and when a failed task comes again."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usercenter.clock import SystemClock
from usercenter.events import UserLoggedIn, UserUpdated
from usercenter.messaging.groups import Context, Group, Schedule, handlers_by_name, outside, record


async def first(*_: Any) -> None:
    """A handler."""


async def second(*_: Any) -> None:
    """Another one."""


def named(name: str) -> Any:
    """Yet another one, of this name."""

    async def handler(*_: Any) -> None:
        """Do nothing."""

    handler.__name__ = name
    return handler


def group(*handlers: Any, name: str = "usercenter") -> Group:
    return Group(name, "user_events", {UserLoggedIn: handlers})


class TestTable:
    def test_a_handler_bears_the_name_of_its_function(self) -> None:
        found = handlers_by_name([group(record(first), outside(second))])

        assert found == {"first": record(first), "second": outside(second)}

    def test_one_handler_may_react_to_several_types_in_several_groups(self) -> None:
        both = Group("usercenter", "user_events", {UserLoggedIn: (record(first),), UserUpdated: (record(first),)})

        assert list(handlers_by_name([both, group(record(first), name="other")])) == ["first"]

    def test_two_functions_of_one_name_are_refused(self) -> None:
        with pytest.raises(ValueError, match="two handlers are named 'first'"):
            handlers_by_name([group(record(first)), group(record(named("first")), name="other")])

    @pytest.mark.parametrize("other", [outside(first), record(first, retry=Schedule(attempts=1))])
    def test_one_function_declared_in_two_ways_is_refused(self, other: Any) -> None:
        with pytest.raises(ValueError, match="declared in two ways"):
            handlers_by_name([group(record(first)), group(other, name="other")])

    def test_a_handler_named_twice_for_one_type_would_have_its_effect_twice_and_is_refused(self) -> None:
        with pytest.raises(ValueError, match="named twice for UserLoggedIn"):
            handlers_by_name([group(record(first), record(first))])

    @pytest.mark.parametrize("declare", [record, outside])
    @pytest.mark.parametrize(
        "function",
        [lambda *_: first(), partial(first), named("decode"), named("relay")],
        ids=["a lambda", "a partial", "decode", "relay"],
    )
    def test_what_has_no_name_of_its_own_is_refused(self, declare: Any, function: Any) -> None:
        with pytest.raises(ValueError, match="cannot be a handler"):
            declare(function)

    def test_a_service_that_nobody_put_in_is_named(self) -> None:
        with pytest.raises(LookupError, match="no Schedule was given to the handlers"):
            Context(clock=SystemClock()).service(Schedule)


schedules = st.builds(
    Schedule,
    attempts=st.integers(1, 100),
    first_seconds=st.floats(0.001, 3_600),
    longest_seconds=st.floats(1, 86_400),
)


class TestSchedule:
    @given(schedules, st.integers(1, 10_000))
    def test_a_wait_lies_within_its_bounds_and_ends_with_the_last_attempt(
        self, schedule: Schedule, attempts: int
    ) -> None:
        wait = schedule.wait_seconds(attempts)

        if attempts >= schedule.attempts:
            assert wait is None
        else:
            plain = min(schedule.longest_seconds, schedule.first_seconds * 2.0 ** min(attempts - 1, 60))
            assert wait is not None
            assert 0.75 * plain <= wait <= 1.25 * plain

    def test_waits_double_until_they_are_longest(self) -> None:
        schedule = Schedule(attempts=10, first_seconds=1, longest_seconds=10)
        waits = [schedule.wait_seconds(attempts) or 0 for attempts in range(1, 10)]

        assert [round(wait / plain, 1) for wait, plain in zip(waits, [1, 2, 4, 8, 10, 10, 10, 10, 10], strict=True)]
        assert max(waits) <= 12.5

    def test_waits_are_spread(self) -> None:
        schedule = Schedule(first_seconds=100)

        assert len({schedule.wait_seconds(1) for _ in range(50)}) > 25

    def test_the_default_lasts_for_hours(self) -> None:
        schedule = Schedule()
        waits = [schedule.wait_seconds(attempts) or 0 for attempts in range(1, schedule.attempts)]

        assert 3 * 3_600 < sum(waits) < 24 * 3_600
