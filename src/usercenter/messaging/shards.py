"""Users divided into a fixed number of shards, the unit that relays and task runners lease."""

from typing import Final
from uuid import UUID
from zlib import crc32

SHARDS: Final = 64
"""Fixed for good: it is stored in the rows. As many processes as this can share the work."""


def shard_of(user_id: UUID) -> int:
    """The shard of a user: the same in every process and every version."""
    return crc32(user_id.bytes) % SHARDS
