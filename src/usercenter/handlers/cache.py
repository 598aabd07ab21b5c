"""Keeping the cache right: after each event of a user, the cache gets the version that PostgreSQL has now."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from usercenter.db import Database
from usercenter.events import UserEvent
from usercenter.messaging.groups import Context, NotYet
from usercenter.metrics import Metrics
from usercenter.users import queries
from usercenter.users.cache import CacheUnreachable, UserCache

_AGAIN_SECONDS: Final = 2.0


async def refresh_cache(event: UserEvent, context: Context) -> None:
    """Put the present version of the user into the cache; a newer one there stays.

    While the cache is away it is tried again, until every copy from before the event has expired by itself.
    """
    cache = context.service(UserCache)
    age = context.clock.now() - event.occurred_at
    async with context.service(Database).transaction() as tx:
        user = await queries.find(tx, event.user_id)
    try:
        if user is not None:
            await cache.remember(user)
        elif event.sequence is not None:
            await cache.remember_gone(event.user_id, event.sequence)
    except CacheUnreachable:
        if age < timedelta(seconds=cache.ttl_seconds):
            raise NotYet(_AGAIN_SECONDS) from None
        return
    context.service(Metrics).cache_stale.observe(max(0.0, age.total_seconds()))


async def refresh_caches(events: Sequence[UserEvent], context: Context) -> None:
    """The same for many events: one question to PostgreSQL, one trip to the cache, one version for each user."""
    cache, now = context.service(UserCache), context.clock.now()
    newest = {event.user_id: event for event in events}  # of a user's events the last one; PostgreSQL knows the rest
    async with context.service(Database).transaction() as tx:
        users = {user.id: user for user in await queries.find_all(tx, list(newest))}
    gone = {id_: event.sequence for id_, event in newest.items() if id_ not in users and event.sequence is not None}
    ages = [max(timedelta(), now - event.occurred_at) for event in events]
    try:
        await cache.remember_all(users.values(), gone)
    except CacheUnreachable:
        if min(ages) < timedelta(seconds=cache.ttl_seconds):
            raise NotYet(_AGAIN_SECONDS) from None
        return
    context.service(Metrics).cache_stale.observe_all([age.total_seconds() for age in ages])


def has_cache(context: Context) -> bool:
    """Whether there is anything to refresh."""
    return context.service(UserCache).is_there
