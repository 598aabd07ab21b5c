"""An extension whose events do harm: they say where (`record`, `outside`, `beyond`) and how.

How is `raises`, `hangs` or `exits`.
"""

import asyncio
import os
from collections.abc import Sequence

from usercenter.db import Database
from usercenter.extension import Context, Extension, Schedule, Transaction, UserEvent, outside, record

QUICK = Schedule(attempts=4, first_seconds=0.05, longest_seconds=0.1)
"""More attempts than there are ends of the process: each end costs what runs at that moment an attempt."""


PATIENT = Schedule(attempts=4, first_seconds=0.5, longest_seconds=1)
"""Waits whose jitter takes apart what a process died with: most others are done before its next end, or after it."""


class Poisoned(UserEvent, type="user.poisoned"):
    """Something that no handler survives, or something harmless."""

    where: str = ""
    how: str = ""


async def react(events: Sequence[Poisoned], tx: Transaction, context: Context) -> None:
    """Write it down, with the batch."""
    del context
    for event in events:
        if event.where == "record":
            await _go_wrong(event.how)
        await _write_down(tx, "react", event)


async def reach_out(event: Poisoned, context: Context) -> None:
    """Write it down, as if that were the outside world."""
    if event.where == "outside":
        await _go_wrong(event.how)
    async with context.service(Database).transaction() as tx:
        await _write_down(tx, "reach_out", event)


async def reach_beyond(event: Poisoned, context: Context) -> None:
    """As `reach_out`, with patience."""
    if event.where == "beyond":
        await _go_wrong(event.how)
    async with context.service(Database).transaction() as tx:
        await _write_down(tx, "reach_beyond", event)


async def _write_down(tx: Transaction, handler: str, event: Poisoned) -> None:
    await tx.execute(
        "insert into effects (handler, event_id, user_id) values (%s, %s, %s)", (handler, event.id, event.user_id)
    )


async def _go_wrong(how: str) -> None:
    if how == "raises":
        raise RuntimeError("the poison works")
    if how == "exits":
        os._exit(17)
    await asyncio.Event().wait()


extension = Extension(
    events=[Poisoned],
    handlers={
        Poisoned: [
            record(react, retry=QUICK, timeout_seconds=0.5),
            outside(reach_out, retry=QUICK, timeout_seconds=0.5),
            outside(reach_beyond, retry=PATIENT, timeout_seconds=0.5),
        ]
    },
)
