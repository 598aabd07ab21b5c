"""The records of an import file, one after the other, however large it is: CSV with a head line, or NDJSON.

A record that cannot be read is a record with a problem, and the ones behind it are read all the same.
"""

import csv
from collections.abc import AsyncIterator
from typing import Any, Final, Literal

import msgspec

from usercenter.users.cells import original
from usercenter.users.errors import InvalidFields, Problem

Format = Literal["csv", "ndjson"]
FIELDS: Final = ("username", "email", "password", "password_hash", "first_name", "last_name", "phone", "locale")
"""What a record may say; the first two it must."""
REQUIRED: Final = FIELDS[:2]
SECRETS: Final = FIELDS[2:4]
"""Never in an export, so nothing was put in front of them."""
LONGEST_RECORD_BYTES: Final = 65_536


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on the lines from `line` to `last_line` (from 1 on); a problem where it cannot be read."""

    line: int
    last_line: int
    raw: bytes
    fields: dict[str, str]
    problems: list[Problem] = []

    def __repr__(self) -> str:
        return f"Record(line={self.line})"  # it may hold a password


async def records(chunks: AsyncIterator[bytes], kind: Format) -> AsyncIterator[Record]:
    """The records of a file that comes in chunks of any size. Raises InvalidFields: CSV without a fitting head line."""
    lines = _lines(chunks)
    if kind == "ndjson":
        async for number, line in lines:
            if line.strip():
                yield _of_json(number, line)
        return
    head: list[str] | None = None
    async for first, last, raw in _whole_rows(lines):
        if head is None:
            head = _head(raw)
        elif raw.strip():
            yield _of_csv(head, first, last, raw)


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """Lines with their numbers; of one that is too long just enough to tell that it is."""
    number, rest = 1, b""
    async for chunk in chunks:
        *whole, tail = chunk.split(b"\n")
        for piece in whole:
            yield number, (rest + piece)[: LONGEST_RECORD_BYTES + 1]
            number, rest = number + 1, b""
        rest = (rest + tail)[: LONGEST_RECORD_BYTES + 1]
    if rest:
        yield number, rest


async def _whole_rows(lines: AsyncIterator[tuple[int, bytes]]) -> AsyncIterator[tuple[int, int, bytes]]:
    """Rows of CSV: lines, joined while a quoted field goes on, at most to the longest record."""
    first, last, raw = 0, 0, b""
    async for number, line in lines:
        first, raw = (first, raw + b"\n" + line) if raw else (number, line)
        last = number
        if raw.count(b'"') % 2 == 0 or len(raw) > LONGEST_RECORD_BYTES:
            yield first, last, raw
            raw = b""
    if raw:
        yield first, last, raw


def _head(raw: bytes) -> list[str]:
    try:
        names = [name.strip() for name in next(csv.reader([raw.decode("utf-8-sig")]))]
    except (UnicodeDecodeError, csv.Error, StopIteration) as error:
        raise InvalidFields([Problem("head", "format", f"the first line must name the columns: {error}")]) from error
    found = [
        Problem(name[:60], "unknown", f"is no column; there are {', '.join(FIELDS)}")
        for name in names
        if name not in FIELDS
    ]
    found += [Problem(name, "missing", "is a column that must be there") for name in REQUIRED if name not in names]
    found += [Problem(name, "twice", "is a column twice") for name in FIELDS if names.count(name) > 1]
    if found:
        raise InvalidFields(found[:20])
    return names


def _of_csv(head: list[str], first: int, last: int, raw: bytes) -> Record:
    record = Record(line=first, last_line=last, raw=raw, fields={})
    if problem := _too_long(raw):
        return msgspec.structs.replace(record, problems=[problem])
    try:
        [values] = csv.reader([raw.decode().removesuffix("\r")], strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError):
        return msgspec.structs.replace(record, problems=[Problem("row", "format", "is no row of CSV in UTF-8")])
    if len(values) != len(head):
        problem = Problem("row", "length", f"has {len(values)} columns instead of {len(head)}")
        return msgspec.structs.replace(record, problems=[problem])
    given = {name: value for name, value in zip(head, values, strict=True) if value}
    return msgspec.structs.replace(
        record, fields={name: value if name in SECRETS else original(value) for name, value in given.items()}
    )


def _of_json(number: int, raw: bytes) -> Record:
    record = Record(line=number, last_line=number, raw=raw, fields={})
    if problem := _too_long(raw):
        return msgspec.structs.replace(record, problems=[problem])
    try:
        body: Any = msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return msgspec.structs.replace(record, problems=[Problem("row", "format", "is no JSON object")])
    given = {name: value for name, value in body.items() if value is not None}
    wrong = [Problem(name[:60], "unknown", "is no field of a record") for name in given if name not in FIELDS]
    wrong += [Problem(n, "type", "must be a text") for n, v in given.items() if n in FIELDS and not isinstance(v, str)]
    return msgspec.structs.replace(record, fields={} if wrong else given, problems=wrong[:20])


def _too_long(raw: bytes) -> Problem | None:
    if len(raw) <= LONGEST_RECORD_BYTES:
        return None
    return Problem("row", "length", f"is longer than {LONGEST_RECORD_BYTES} bytes, or a quoted field does not end")
