"""A user's shard is stored in rows, so it may never change."""

from uuid import UUID, uuid4

from usercenter.messaging.shards import SHARDS, shard_of


def test_the_shard_of_a_user_is_the_same_in_every_version() -> None:
    assert SHARDS == 64
    assert shard_of(UUID("00000000-0000-0000-0000-000000000000")) == 21
    assert shard_of(UUID("01a20d31-6c7d-70d6-aeb8-bf9402a5e5f2")) == 7
    assert shard_of(UUID("ffffffff-ffff-ffff-ffff-ffffffffffff")) == 26


def test_users_are_spread_over_all_shards() -> None:
    found = {shard_of(uuid4()) for _ in range(2_000)}
    assert found == set(range(SHARDS))
