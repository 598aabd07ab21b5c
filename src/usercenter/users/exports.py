"""All users as a file, of what can be imported again and their state; no password, no hash of one."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from usercenter.db import Database
from usercenter.users import directory
from usercenter.users.directory import Search
from usercenter.users.import_records import Format
from usercenter.users.model import User

_CHUNK_BYTES: Final = 65_536


async def export_lines(database: Database, search: Search, kind: Format) -> AsyncIterator[bytes]:
    """The users as chunks of CSV (with a head line) or NDJSON. Raises DatabaseUnavailable."""
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
    return ["" if value is None else value for value in body.values()]


def _row(values: Sequence[Any]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(values)
    return text.getvalue().encode()
