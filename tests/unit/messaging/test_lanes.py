"""The lanes in memory: each position once, each lane in order and in one hand, and never more than agreed."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from usercenter.messaging.lanes import Lanes
from usercenter.messaging.shards import SHARDS, shard_of

ALL = frozenset(range(SHARDS))
USERS = [UUID(int=number) for number in range(6)]
ADA, BOB, EVE, *_ = [("send", user) for user in USERS]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.integers(0, 5)),
        st.tuples(st.just("take"), st.integers(-1, 4)),
        st.tuples(st.just("release"), st.integers(0, 5)),
        st.tuples(st.just("drop"), st.integers(0, 5)),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 4))
def test_whatever_happens_a_lane_is_in_one_hand_and_in_order(steps: list[tuple[str, int]], per_lane: int) -> None:
    lanes = Lanes(per_lane=per_lane)
    last: dict[UUID, int] = {}
    taken: set[UUID] = set()
    for position, (verb, number) in enumerate(steps):
        user = USERS[number % len(USERS)]
        if verb == "offer":
            lanes.offer(("send", user), position)
        elif verb == "take":
            for head, (_, owner) in lanes.take(number, ALL).items():
                assert owner not in taken
                assert head > last.get(owner, -1)
                taken.add(owner)
                last[owner] = head
        elif verb == "release":
            lanes.release(("send", user))
            taken.discard(user)
        else:
            lanes.drop([("send", user)])
            taken.discard(user)

        assert lanes.taken == len(taken)
        assert lanes.busy_shards() == {shard_of(user) for user in taken}
        assert lanes.waiting <= per_lane * len(lanes.known())
        assert len(lanes.known()) == len(set(lanes.known()))


def test_a_lane_that_was_served_goes_behind_the_others() -> None:
    lanes = Lanes(per_lane=5)
    for position in (1, 2):
        lanes.offer(ADA, position)
    lanes.offer(BOB, 3)

    assert lanes.take(1, ALL) == {1: ADA}
    lanes.release(ADA)

    assert lanes.take(2, ALL) == {3: BOB, 2: ADA}


def test_a_lane_keeps_its_first_positions_and_leaves_the_rest_to_the_table() -> None:
    lanes = Lanes(per_lane=2)
    for position in range(10):
        lanes.offer(ADA, position)

    assert lanes.waiting == 2
    assert lanes.take(1, ALL) == {0: ADA}


def test_only_lanes_of_owned_shards_are_taken_and_kept() -> None:
    lanes = Lanes(per_lane=2)
    lanes.offer(ADA, 1)
    lanes.offer(BOB, 2)
    mine = frozenset({shard_of(ADA[1])})

    assert lanes.take(5, mine) == {1: ADA}
    lanes.keep_only(frozenset())

    assert lanes.known() == [ADA]  # what is in hand stays busy until its end is noted


def test_of_the_suspects_one_is_in_hand_at_a_time_and_all_others_go_on() -> None:
    lanes = Lanes(per_lane=2)
    for position, lane in enumerate([ADA, BOB, EVE]):
        lanes.offer(lane, position, is_suspect=lane != EVE)
    lanes.offer(BOB, 9)

    assert lanes.ready(10, ALL) == 2
    assert lanes.take(5, ALL) == {0: ADA, 2: EVE}
    assert lanes.ready(10, ALL) == 0
    assert lanes.take(5, ALL) == {}
    lanes.release(ADA)

    assert lanes.take(5, ALL) == {1: BOB}
    lanes.release(BOB)
    assert lanes.take(5, ALL) == {9: BOB}  # what is behind a suspect is none


def test_a_suspect_that_was_dropped_stands_in_nobodys_way() -> None:
    lanes = Lanes(per_lane=2)
    lanes.offer(ADA, 1, is_suspect=True)
    lanes.take(1, ALL)
    lanes.drop([ADA])
    lanes.offer(BOB, 2, is_suspect=True)

    assert lanes.take(1, ALL) == {2: BOB}
