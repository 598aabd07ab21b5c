"""All users as a file, of what can be imported again and their state; no password, no hash of one."""

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec

from usercenter.db import Database
from usercenter.users import directory
from usercenter.users.cells import harmless
from usercenter.users.directory import Search
from usercenter.users.errors import TooManyRequests
from usercenter.users.import_records import Format
from usercenter.users.model import User

_CHUNK_BYTES: Final = 65_536
_COME_AGAIN_SECONDS: Final = 30


class Exports:
    """The exports of one process, a few at a time: each holds a database connection as long as its reader reads."""

    def __init__(self, database: Database, *, at_once: int) -> None:
        self._database = database
        self._at_once = at_once
        self._under_way = 0

    async def lines(self, search: Search, kind: Format) -> AsyncIterator[bytes]:
        """As `export_lines`. Raises TooManyRequests, with the first chunk, when enough are under way."""
        if self._under_way >= self._at_once:
            raise TooManyRequests(
                f"{self._under_way} exports are under way, the most at a time (`server.concurrent_exports`): ask later",
                retry_after_seconds=_COME_AGAIN_SECONDS,
            )
        self._under_way += 1
        try:
            async with aclosing(export_lines(self._database, search, kind)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self._under_way -= 1


async def export_lines(database: Database, search: Search, kind: Format) -> AsyncGenerator[bytes, None]:
    """The users as chunks of CSV (with a head line) or NDJSON. Raises DatabaseUnavailable.

    A cell of CSV is `harmless` to spreadsheets; an import reads it as it was.
    """
    chunk = bytearray(_row(User.__struct_fields__) if kind == "csv" else b"")
    async with database.transaction() as tx:
        async for user in directory.each_user(tx, search):
            chunk += _row(_texts(user)) if kind == "csv" else msgspec.json.encode(user) + b"\n"
            if len(chunk) >= _CHUNK_BYTES:
                yield bytes(chunk)
                chunk.clear()
    yield bytes(chunk)


def _texts(user: User) -> list[Any]:
    body = msgspec.to_builtins(user)
    return [_cell(value) for value in body.values()]


def _cell(value: Any) -> str:
    """As JSON writes it, and nothing for what is not there."""
    if isinstance(value, str):
        return harmless(value)
    return "" if value is None else msgspec.json.encode(value).decode()


def _row(values: Sequence[Any]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(values)
    return text.getvalue().encode()
