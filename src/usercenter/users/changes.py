"""Telling every process at once which users have changed or had a session ended, by way of Valkey (or Redis).

Whoever has committed a change tells it before the answer goes out. What cannot be told, because Valkey is away or the
process ended in between, is seen by the others when their copies have had their time (`cache.session_seconds`).
"""

import asyncio
from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

import redis.asyncio as redis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from usercenter.users.breaker import Breaker
from usercenter.users.copies import Copies

log = structlog.get_logger()

_CHANNEL: Final = b"usercenter:changed"
_ID_BYTES: Final = 16
_PATIENCE_SECONDS: Final = 0.05
_PAUSE_SECONDS: Final = 3.0
_SILENCE_SECONDS: Final = 1.0


class Changes:
    """Tells changes of this process, and hears those of the others. Without a `url` there is nobody to tell."""

    def __init__(self, url: str, copies: Copies) -> None:
        # no connection is replaced by the library when it is lost: what was said meanwhile would go unheard
        self._client = redis.from_url(url, retry=Retry(NoBackoff(), 0)) if url else None
        self._copies = copies
        self._breaker = Breaker(seconds=_PAUSE_SECONDS)

    async def tell(self, user_ids: Collection[UUID]) -> None:
        """These users are not what they were: here at once, elsewhere as soon as Valkey has passed it on."""
        self._copies.drop(user_ids)
        if self._client is None or self._breaker.is_open:
            return
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._client.publish(_CHANNEL, b"".join(user_id.bytes for user_id in user_ids))
        except (RedisError, OSError):
            self._breaker.note_failure()
            log.info("cache.unreachable", next="other processes see the change when their copies have had their time")

    async def keep_listening(self) -> None:
        """Drop the copies of what changes, for ever; while Valkey is away there are no copies."""
        while self._client is not None:
            try:
                await self._listen(self._client)
            except (RedisError, OSError):
                await asyncio.sleep(_SILENCE_SECONDS)

    async def close(self) -> None:
        """Let the connections go. May be called twice."""
        if self._client is not None:
            await self._client.aclose()

    async def _listen(self, client: redis.Redis) -> None:
        """Until the connection is lost, or says nothing although it is asked."""
        try:
            async with client.pubsub() as channel:
                async with asyncio.timeout(_PAUSE_SECONDS):
                    await channel.subscribe(_CHANNEL)
                is_asked = False
                while True:
                    message = await channel.get_message(timeout=_SILENCE_SECONDS)
                    if message is None and is_asked:
                        raise TimeoutError
                    if is_asked := message is None:
                        await channel.ping()
                    else:
                        self._hear(message)
        finally:
            self._copies.end()

    def _hear(self, message: Any) -> None:
        if message["type"] == "subscribe":
            self._copies.begin()
        elif message["type"] == "message":
            ids = message["data"]
            self._copies.drop([UUID(bytes=ids[at : at + _ID_BYTES]) for at in range(0, len(ids), _ID_BYTES)])
