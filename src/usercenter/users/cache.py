"""A copy of users in Valkey (or Redis): read through, never older after newer, and never needed.

Each copy carries the user's sequence, and one script in the server compares before it writes, so events may arrive in
any order. A copy lives `cache.ttl_seconds`; that is also the longest that a change can stay unseen when the cache could
not be told of it. Without a cache, or while it is down, everything is read from PostgreSQL: the first read that finds
it away costs 50 ms, those of the next seconds do not ask it.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, cast
from uuid import UUID

import msgspec
import redis.asyncio as redis
import structlog
from redis.exceptions import RedisError

from usercenter.db import Database
from usercenter.metrics import Metrics
from usercenter.users import queries
from usercenter.users.breaker import Breaker
from usercenter.users.model import User

log = structlog.get_logger()

_PUT: Final = """
local known = redis.call('HGET', KEYS[1], 'sequence')
if known and tonumber(known) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'sequence', ARGV[1], 'user', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
_GONE: Final = b""
_READ_PATIENCE_SECONDS: Final = 0.05
_WRITE_PATIENCE_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 3.0
_read = msgspec.json.Decoder(User)


class CacheUnreachable(Exception):
    """The cache did not answer; PostgreSQL knows."""


class UserCache:
    """The users' copies. `client` is None where no cache is configured."""

    def __init__(self, client: redis.Redis | None, *, ttl_seconds: int, metrics: Metrics) -> None:
        self._client = client
        self._put = client.register_script(_PUT) if client is not None else None
        self._metrics = metrics.cache_reads
        for outcome in ("hit", "miss", "unreachable"):
            self._metrics.labels(outcome)  # a rate is of no use if it only begins with the first failure
        self._breaker = Breaker(seconds=_PAUSE_SECONDS)
        self.ttl_seconds = ttl_seconds

    @property
    def is_there(self) -> bool:
        """Whether one is configured."""
        return self._client is not None

    async def find(self, database: Database, user_id: UUID) -> User | None:
        """The user, from the cache or, where it has none or is away, from PostgreSQL. None: there is no such user.

        Raises DatabaseUnavailable.
        """
        try:
            found = await self._get(user_id)
        except CacheUnreachable:
            self._metrics.labels("unreachable").inc()
            return await self._load(database, user_id)
        if found is not None:
            self._metrics.labels("hit").inc()
            return _read.decode(found) if found != _GONE else None
        self._metrics.labels("miss").inc()
        user = await self._load(database, user_id)
        if user is not None:
            await self._remember_if_possible(user)
        return user

    async def remember(self, user: User) -> bool:
        """Keep this version unless a newer one is there; says whether it was kept. Raises CacheUnreachable."""
        return await self._write(user.id, user.sequence, msgspec.json.encode(user))

    async def remember_gone(self, user_id: UUID, sequence: int) -> bool:
        """Keep that the user is deleted as of this sequence: no older version returns. Raises CacheUnreachable."""
        return await self._write(user_id, sequence, _GONE)

    async def remember_all(self, users: Iterable[User], gone: Mapping[UUID, int]) -> None:
        """`remember` and `remember_gone` for many, in one trip; when it raises, some may be kept. CacheUnreachable."""
        copies = [(user.id, user.sequence, msgspec.json.encode(user)) for user in users]
        copies += [(user_id, sequence, _GONE) for user_id, sequence in gone.items()]
        if self._client is None or self._put is None or not copies:
            return
        try:
            async with asyncio.timeout(_WRITE_PATIENCE_SECONDS), self._client.pipeline(transaction=False) as pipeline:
                for user_id, sequence, body in copies:
                    await self._put(keys=[_key(user_id)], args=[sequence, body, self.ttl_seconds], client=pipeline)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            raise CacheUnreachable(str(error)) from error

    async def sequence_of(self, user_id: UUID) -> int | None:
        """The version of the copy that the cache has, None for none. Raises CacheUnreachable."""
        if self._client is None:
            return None
        try:
            found = cast("bytes | None", await self._client.hget(_key(user_id), "sequence"))
        except (RedisError, OSError) as error:
            raise CacheUnreachable(str(error)) from error
        return int(found) if found is not None else None

    async def _get(self, user_id: UUID) -> bytes | None:
        if self._client is None:
            return None
        if self._breaker.is_open:
            raise CacheUnreachable("it did not answer a moment ago")
        try:
            async with asyncio.timeout(_READ_PATIENCE_SECONDS):
                return cast("bytes | None", await self._client.hget(_key(user_id), "user"))
        except (RedisError, OSError) as error:
            self._breaker.note_failure()
            raise CacheUnreachable(str(error)) from error

    async def _write(
        self, user_id: UUID, sequence: int, body: bytes, *, patience_seconds: float = _WRITE_PATIENCE_SECONDS
    ) -> bool:
        if self._put is None:
            return False
        try:
            async with asyncio.timeout(patience_seconds):
                return bool(await self._put(keys=[_key(user_id)], args=[sequence, body, self.ttl_seconds]))
        except (RedisError, OSError) as error:
            raise CacheUnreachable(str(error)) from error

    async def _remember_if_possible(self, user: User) -> None:
        try:
            body = msgspec.json.encode(user)
            await self._write(user.id, user.sequence, body, patience_seconds=_READ_PATIENCE_SECONDS)
        except CacheUnreachable:
            self._breaker.note_failure()
            log.info("cache.unreachable", next="read from PostgreSQL")

    async def _load(self, database: Database, user_id: UUID) -> User | None:
        async with database.reading() as tx:
            return await queries.find(tx, user_id)


def _key(user_id: UUID) -> str:
    return f"usercenter:user:{user_id}"
