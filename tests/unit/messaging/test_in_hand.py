"""What a relay may send when: of each key one at a time, and never a later row before an earlier one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usercenter.clock import HeldClock
from usercenter.messaging.in_hand import LONGEST_QUEUE, InHand
from usercenter.messaging.outbox import Row

START = datetime(2026, 1, 1, tzinfo=UTC)


def row(position: int, key: str = "a", shard: int = 0) -> Row:
    return Row(position, shard, "user_events", key, "user.logged_in", b"{}", {})


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock(START)


@pytest.fixture
def hand(clock: HeldClock) -> InHand:
    return InHand(clock)


def sent(hand: InHand, row: Row) -> bool:
    """Admit a row and send it if it may go."""
    may_go = hand.admit(row)
    if may_go:
        hand.depart(row)
    return may_go


def test_rows_of_different_keys_go_side_by_side(hand: InHand) -> None:
    assert sent(hand, row(1, "a"))
    assert sent(hand, row(2, "b"))


def test_of_one_key_the_next_goes_when_the_one_before_has_arrived(hand: InHand) -> None:
    first, second, third = row(1), row(2), row(3)
    assert sent(hand, first)
    assert not sent(hand, second)
    assert not sent(hand, third)
    hand.arrive(first)
    assert hand.next_of("a") == second
    hand.depart(second)
    hand.arrive(second)
    assert hand.next_of("a") == third
    assert hand.next_of("a") is None


def test_rows_that_arrived_stay_known_until_they_are_forgotten(hand: InHand) -> None:
    sent(hand, row(1, shard=7))
    hand.arrive(row(1, shard=7))
    assert (len(hand), hand.positions(), hand.shards()) == (1, [1], {7})
    hand.forget([row(1, shard=7)])
    assert (len(hand), hand.positions(), hand.shards()) == (0, [], set())


def test_what_is_put_back_takes_all_behind_it_along(hand: InHand) -> None:
    sent(hand, row(1))
    sent(hand, row(2))
    sent(hand, row(3, "b"))
    hand.put_back(row(1))
    assert hand.positions() == [3]
    assert hand.next_of("a") is None


def test_rows_of_a_key_put_back_since_the_fetch_began_are_not_taken(hand: InHand) -> None:
    sent(hand, row(1))
    hand.closed_keys()  # a fetch begins
    hand.put_back(row(1))
    assert not sent(hand, row(2))
    assert hand.positions() == []
    assert hand.closed_keys() == []  # the next one
    assert sent(hand, row(1))


def test_a_key_on_hold_is_not_fetched_until_its_time_is_over(hand: InHand, clock: HeldClock) -> None:
    sent(hand, row(1))
    hand.put_back(row(1), seconds=1)
    assert hand.closed_keys() == ["a"]
    clock.advance(timedelta(seconds=1))
    assert hand.closed_keys() == []


def test_a_long_backlog_of_one_key_is_taken_in_portions(hand: InHand) -> None:
    for position in range(1, 1_000):
        sent(hand, row(position))
    assert len(hand) == LONGEST_QUEUE + 1
    assert hand.closed_keys() == ["a"]
    for position in range(1, LONGEST_QUEUE // 2 + 2):
        hand.arrive(row(position))
        hand.depart(hand.next_of("a") or row(0))
    assert hand.closed_keys() == []


STEPS = st.tuples(st.sampled_from(["fetch", "fetch", "arrive", "put back"]), st.sampled_from("ab"))


@given(st.lists(STEPS, min_size=50, max_size=200))
def test_whatever_happens_no_row_arrives_before_an_earlier_one_of_its_key(steps: list[tuple[str, str]]) -> None:
    """The outbox here is a list; a fetch sees what was in it one step earlier, as a slow query would."""
    hand = InHand(HeldClock(START))
    outbox = [row(position, "ab"[position % 2]) for position in range(1, 60)]
    on_its_way: dict[str, Row] = {}
    arrived: list[Row] = []
    pending: list[Row] | None = None
    for step, key in steps:
        if step == "fetch" and pending is None:
            closed, known = hand.closed_keys(), set(hand.positions())
            pending = [each for each in outbox if each.key not in closed and each.position not in known][:5]
        elif step == "fetch":
            for each in pending or ():
                if hand.admit(each):
                    hand.depart(each)
                    on_its_way[each.key] = each
            pending = None
        elif key in on_its_way and step == "put back":
            hand.put_back(on_its_way.pop(key))
        elif key in on_its_way:
            done = on_its_way.pop(key)
            arrived.append(done)
            hand.arrive(done)
            if following := hand.next_of(key):
                hand.depart(following)
                on_its_way[key] = following
    for key in "ab":
        positions = [each.position for each in arrived if each.key == key]
        assert positions == sorted(positions)
