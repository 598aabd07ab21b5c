"""How many of what: when a crew has shared out its work, and what the measure says of it."""

from collections.abc import Sequence

import pytest

from bench import crews
from bench.__main__ import MEASURES
from bench.shares import has_fair_shares, has_its_partitions
from usercenter.messaging.consumer_groups import ConsumerGroup, Member
from usercenter.messaging.shards import SHARDS


def _group(*shares: int, state: str = "stable") -> ConsumerGroup:
    members = [
        Member(id=f"m{place}", client_id="", host="", partitions=[("user.events", each) for each in range(share)])
        for place, share in enumerate(shares)
    ]
    return ConsumerGroup(name="usercenter", state=state, protocol="classic", coordinator="", members=members, places=[])


@pytest.mark.parametrize(
    ("shares", "owners", "is_fair"),
    [
        ((SHARDS,), 1, True),
        ((32, 32), 2, True),
        ((22, 22, 20), 3, True),
        ((), 1, False),
        ((SHARDS,), 2, False),
        ((33, 31), 2, False),
        ((32, 30), 2, False),
    ],
)
def test_relays_have_shared_out_the_shards_when_all_are_owned_and_nobody_has_too_many(
    shares: Sequence[int], owners: int, is_fair: bool
) -> None:
    assert has_fair_shares(shares, owners) is is_fair


@pytest.mark.parametrize(
    ("group", "members", "partitions", "is_shared_out"),
    [
        (_group(3), 1, 3, True),
        (_group(2, 1), 2, 3, True),
        (_group(1, 0), 2, 1, True),
        (_group(3, 0), 2, 3, False),
        (_group(3), 2, 3, False),
        (_group(1, 1), 2, 3, False),
        (_group(2, 1, state="preparing_rebalancing"), 2, 3, False),
        (_group(), 1, 3, False),
    ],
)
def test_workers_have_shared_out_the_partitions_when_the_group_is_stable_and_even(
    group: ConsumerGroup, members: int, partitions: int, is_shared_out: bool
) -> None:
    assert has_its_partitions(group, members, partitions) is is_shared_out


def test_each_number_of_workers_meets_each_number_of_partitions() -> None:
    named = [name for name in crews.MEASURE.contenders if "worker" in name]
    assert named == [
        "1 worker, 1 partition", "1 worker, 3 partitions", "1 worker, 6 partitions", "1 worker, 12 partitions",
        "2 workers, 1 partition", "2 workers, 3 partitions", "2 workers, 6 partitions", "2 workers, 12 partitions",
    ]  # fmt: skip


def test_it_can_be_named_and_its_contenders_are_no_rivals() -> None:
    assert MEASURES["crews"] is crews.MEASURE
    assert not crews.MEASURE.are_rivals
