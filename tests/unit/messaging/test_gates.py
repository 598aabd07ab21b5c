"""Gates: so many places for each handler that says so, and room left for everybody else."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from usercenter.clock import HeldClock
from usercenter.events import UserLoggedIn
from usercenter.messaging.gates import Gates
from usercenter.messaging.groups import Context, outside

SLOW = "call/slow"


async def call(event: UserLoggedIn, context: Context) -> None:
    raise NotImplementedError


async def free(event: UserLoggedIn, context: Context) -> None:
    raise NotImplementedError


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock(datetime(2030, 1, 1, tzinfo=UTC))


@pytest.fixture
def gates(clock: HeldClock) -> Gates:
    handlers = {"call": outside(call, concurrent=lambda context: 4), "free": outside(free)}
    gates = Gates(handlers, Context(clock=clock), slots=16, window=400)
    gates.look({SLOW, "free"})
    return gates


def attempt(gates: Gates, handler: str, seconds: float) -> None:
    gates.enter(handler)
    gates.leave(handler, seconds)


def test_a_handler_that_says_nothing_has_no_gate(gates: Gates) -> None:
    for _ in range(100):
        gates.enter("free")

    assert gates.may_enter("free")
    assert gates.most_in_hand("free") is None
    assert gates.most_held("free") is None


def test_so_many_attempts_run_at_a_time_and_the_next_when_one_has_ended(gates: Gates) -> None:
    for _ in range(4):
        assert gates.may_enter(SLOW)
        gates.enter(SLOW)
    assert not gates.may_enter(SLOW)
    assert gates.may_enter("call/other")

    gates.leave(SLOW, None)

    assert gates.may_enter(SLOW)


def test_of_a_slow_one_nothing_is_claimed_ahead_and_little_is_held(gates: Gates) -> None:
    attempt(gates, SLOW, 5.0)

    assert gates.most_in_hand(SLOW) == 4
    assert gates.most_held(SLOW) == 4


def test_of_a_quick_one_some_are_claimed_ahead_and_half_of_the_window_may_be_held(gates: Gates) -> None:
    attempt(gates, SLOW, 0.001)

    assert gates.most_in_hand(SLOW) == 16
    assert gates.most_held(SLOW) == 200


def test_many_gates_share_the_slots_and_half_of_the_window_and_leave_a_part(gates: Gates) -> None:
    names = [f"call/{number}" for number in range(7)]
    gates.look(names)
    for name in names:
        attempt(gates, name, 0.001)

    assert [gates.most_held(name) for name in names] == [400 // 14] * 7
    assert [gates.most_in_hand(name) for name in names] == [2 * 4] * 7  # two places, and three times as many ahead


def test_each_task_that_is_too_many_waits_one_turn_longer(gates: Gates) -> None:
    attempt(gates, SLOW, 2.0)  # with 4 places: one in half a second

    waits = [gates.put_off_seconds(SLOW) for _ in range(3)]

    assert [later - sooner for sooner, later in pairwise(waits)] == pytest.approx([0.5, 0.5])


def test_while_nothing_is_known_of_a_receiver_the_queue_comes_back_as_if_it_were_quick(gates: Gates) -> None:
    """A burst for a quick one must not wait for the pace of a slow one, which nobody has seen yet."""
    waits = [gates.put_off_seconds(SLOW) for _ in range(1_000)]

    assert max(waits) < 2


def test_a_first_attempt_that_goes_on_and_on_shows_that_it_is_slow(gates: Gates, clock: HeldClock) -> None:
    gates.enter(SLOW)
    clock.advance(timedelta(seconds=2))

    waits = [gates.put_off_seconds(SLOW) for _ in range(3)]

    assert [later - sooner for sooner, later in pairwise(waits)] == pytest.approx([0.5, 0.5])


def test_an_attempt_that_tells_nothing_makes_no_receiver_slow(gates: Gates, clock: HeldClock) -> None:
    gates.enter(SLOW)
    clock.advance(timedelta(seconds=60))
    gates.leave(SLOW, None)

    assert gates.put_off_seconds(SLOW) < 1


def test_time_that_passes_shortens_the_queue(gates: Gates, clock: HeldClock) -> None:
    attempt(gates, SLOW, 2.0)
    waits = [gates.put_off_seconds(SLOW) for _ in range(20)]
    clock.advance(timedelta(seconds=waits[-1]))

    assert gates.put_off_seconds(SLOW) == pytest.approx(waits[0])


def test_no_task_waits_longer_than_five_minutes_before_the_receiver_is_looked_at_again(gates: Gates) -> None:
    attempt(gates, SLOW, 60.0)

    waits = [gates.put_off_seconds(SLOW) for _ in range(100)]

    assert max(waits) <= 300
    assert min(waits[-50:]) >= 150


def test_what_is_known_of_a_gate_out_of_use_is_forgotten(gates: Gates) -> None:
    attempt(gates, SLOW, 5.0)
    gates.look({"free"})

    assert gates.most_held(SLOW) == 80
