"""Groups, and handlers of tasks, that stopped themselves because too much failed, until somebody resumes them.

A row here is seen by every process: before a batch is begun, and before tasks are claimed.
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

import structlog

from usercenter.db import Transaction

log = structlog.get_logger()


class Stopped(Exception):
    """This group has stopped itself; the message says why, and what to do next. Its batch waits."""


class Stop(NamedTuple):
    """A group, or a handler of tasks, that handles nothing until it is resumed."""

    name: str
    reason: str
    stopped_at: datetime

    def __str__(self) -> str:
        return f"stopped, because {self.reason}; mend it, then run `usercenter groups resume {self.name}`"


async def add(tx: Transaction, name: str, reason: str) -> None:
    """Stop a group, or a handler of tasks, in all processes. One that is stopped stays so. Does not commit."""
    await tx.execute(
        "insert into group_stops (group_name, reason) values (%s, %s) on conflict do nothing", (name, reason)
    )
    log.error("kafka.group_stopped", group=name, reason=reason, next=f"mend it, then usercenter groups resume {name}")


async def check(tx: Transaction, group: str) -> None:
    """Raises Stopped if the group is stopped."""
    for stop in await among(tx, [group]):
        raise Stopped(str(stop))


async def among(tx: Transaction, names: Collection[str]) -> list[Stop]:
    """Those of these that are stopped, the first one first."""
    rows = await tx.fetch_all(
        "select group_name, reason, stopped_at from group_stops where group_name = any(%b) order by stopped_at",
        (list(names),),
    )
    return [Stop(*row) for row in rows]


async def everything(tx: Transaction) -> list[Stop]:
    """All that is stopped, the first one first."""
    rows = await tx.fetch_all("select group_name, reason, stopped_at from group_stops order by stopped_at")
    return [Stop(*row) for row in rows]


async def remove(tx: Transaction, name: str) -> bool:
    """Let it go on, in every process within seconds; False if it was not stopped. Does not commit."""
    was_stopped = (await tx.execute("delete from group_stops where group_name = %s", (name,))).rowcount == 1
    if was_stopped:
        log.warning("kafka.group_resumed", group=name)
    return was_stopped
