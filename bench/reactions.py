"""The product's post at work for a run: relay, consumers and task runner, with handlers of the measure."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from bench.ground import Ground
from usercenter.bootstrap import workshop
from usercenter.db import Database
from usercenter.messaging.groups import Group
from usercenter.messaging.post import Post
from usercenter.metrics import Metrics


class AtWork(NamedTuple):
    """What a measure sees of it."""

    post: Post
    database: Database
    """That of the post: a commit here wakes its relay, as a request in the same process does."""
    metrics: Metrics


@asynccontextmanager
async def at_work(ground: Ground, groups: Sequence[Group], *, has_relay: bool = True) -> AsyncIterator[AtWork]:
    """Everything that moves messages in one process, started as `bootstrap.py` starts it; closed with the block."""
    metrics = Metrics()
    async with workshop(ground.config) as parts:
        post = Post(
            ground.config,
            groups=groups,
            registry=parts.registry,
            database=parts.database,
            context=parts.context,
            metrics=metrics,
            has_relay=has_relay,
            has_worker=True,
        )
        post.start()
        try:
            yield AtWork(post, parts.database, metrics)
        finally:
            await post.close(timeout_seconds=10)
