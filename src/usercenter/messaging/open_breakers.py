"""The breakers that are open in any process, told by each for who looks on: the breakers themselves need no database.

A process tells nothing while all of its breakers are closed; one that died is forgotten after a few seconds.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from usercenter.db import Database, Transaction, is_transient
from usercenter.messaging import turns

_KIND: Final = "breakers"
_EVERY_SECONDS: Final = 5.0
_BELIEVED_SECONDS: Final = 15.0


class OpenBreaker(msgspec.Struct, frozen=True, kw_only=True):
    """A handler that one process leaves alone, because its other side fails."""

    handler: str
    """With the lane, where each lane has a breaker of its own."""
    since: datetime
    next_try_at: datetime


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What one process said last."""

    process: str
    breakers: list[OpenBreaker]


class Teller:
    """Tells of this process's breakers."""

    def __init__(self, database: Database, look: Callable[[], Sequence[OpenBreaker]]) -> None:
        self._database = database
        self._look = look
        self._process = f"{socket.gethostname()}:{os.getpid()}"
        self._has_told = False

    async def keep(self) -> None:
        """Every few seconds until cancelled."""
        while True:
            try:
                await self.tell()
            except Exception as error:
                if not is_transient(error):
                    raise
            await asyncio.sleep(_EVERY_SECONDS)

    async def tell(self) -> None:
        """Write down those that are open; and once, that none is open any more."""
        found = list(self._look())
        if not found and not self._has_told:
            return
        body = msgspec.json.encode(Told(process=self._process, breakers=found))
        async with self._database.transaction() as tx:
            await turns.note(tx, _KIND, body, kept_seconds=4 * _BELIEVED_SECONDS)
        self._has_told = bool(found)


async def everywhere(tx: Transaction) -> list[Told]:
    """The processes that have open breakers, as they said within the last seconds."""
    last: dict[str, Told] = {}
    for body in await turns.seen(tx, _KIND, seconds=_BELIEVED_SECONDS):
        told = _DECODER.decode(body)
        last[told.process] = told
    return [told for told in last.values() if told.breakers]


_DECODER: Final = msgspec.json.Decoder(Told)
