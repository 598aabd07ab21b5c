"""When a crew is ready for the clock: its processes have shared out the shards, or the partitions, among them."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from bench.ground import Ground
from usercenter.config.model import Config
from usercenter.messaging import consumer_groups
from usercenter.messaging.consumer_groups import ConsumerGroup
from usercenter.messaging.shards import SHARDS

_LOOK_EVERY_SECONDS: Final = 0.05


async def until(is_done: Callable[[], Awaitable[bool]], look_every_seconds: float = _LOOK_EVERY_SECONDS) -> None:
    """Ask again and again until it is done."""
    while not await is_done():  # noqa: ASYNC110  # other processes do it: it has to be asked
        await asyncio.sleep(look_every_seconds)


def groups_of(config: Config) -> tuple[str, str]:
    """The groups of every worker that read the user events."""
    return config.kafka.group_id, f"{config.kafka.group_id}.webhooks"


async def have_partitions(config: Config, members: int) -> bool:
    """Whether so many workers have shared out the partitions of the user events, in both groups."""
    for name in groups_of(config):
        try:
            group = await asyncio.to_thread(consumer_groups.describe, config.kafka, name, looks_for_oldest=False)
        except consumer_groups.GroupMissing:
            return False
        if not has_its_partitions(group, members, config.kafka.new_topics.partitions):
            return False
    return True


async def have_shards(ground: Ground, owners: int) -> bool:
    """Whether so many relays have shared out the shards of the outbox."""
    async with ground.database.transaction() as tx:
        rows = await tx.fetch_all("select owner from leases where kind = 'relay' and owner is not null")
    return has_fair_shares(Counter(row[0] for row in rows).values(), owners)


def has_fair_shares(shares: Collection[int], owners: int) -> bool:
    """Whether so many owners have all shards, and none more than its share."""
    return len(shares) == owners and sum(shares) == SHARDS and max(shares) <= -(-SHARDS // owners)


def has_its_partitions(group: ConsumerGroup, members: int, partitions: int) -> bool:
    """Whether so many members have shared out all partitions, evenly."""
    shares = [len(member.partitions) for member in group.members]
    return group.state == "stable" and len(shares) == members and sum(shares) == partitions and _are_even(shares)


def _are_even(shares: list[int]) -> bool:
    return max(shares) - min(shares) <= 1
