"""Lists as PostgreSQL's binary arrays, written with one loop for each type: a set-based statement has many of them.

The driver's own way asks three objects for each value. Whatever these loops do not know (other types, missing values,
lists in lists) still goes that way; the bytes are the same.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import Any, Final, TypeVar
from uuid import UUID

from psycopg.abc import Buffer
from psycopg.types.array import ListBinaryDumper

T = TypeVar("T")

_ROWS_AT_ONCE: Final = 200
_HEAD: Final = Struct("!IIIII").pack  # dimensions, whether something is missing, type; how many, from which number
_LENGTH: Final = Struct("!i").pack
_NUMBERS: Final = {21: Struct("!ih").pack, 23: Struct("!ii").pack, 20: Struct("!iq").pack}


def parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """The rows in their order, so many at a time as one statement is to carry where each has the bytes of an event.

    The client library holds a statement's parameters in one piece, in a buffer of the connection that only grows: a
    batch of 500 events in one statement would leave a megabyte behind in each connection of the pool.
    """
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield rows[start : start + _ROWS_AT_ONCE]


class Column(ListBinaryDumper):
    """Writes the lists of a statement's parameters (`%b`)."""

    def dump(self, obj: list[Any]) -> Buffer | None:
        """The array's bytes."""
        oid = self.sub_dumper.oid if self.sub_dumper else 0
        write = _WRITERS.get(oid)
        if write is None or not obj:
            return super().dump(obj)
        try:
            return _HEAD(1, 0, oid, len(obj), 1) + write(obj)
        except (AttributeError, TypeError, struct.error):  # something is missing, or a list itself
            return super().dump(obj)


def _texts(items: list[str]) -> bytes:
    parts = []
    for item in items:
        text = item.encode()
        parts.append(_LENGTH(len(text)))
        parts.append(text)
    return b"".join(parts)


def _uuids(items: list[UUID]) -> bytes:
    length = _LENGTH(16)
    return length + length.join([item.int.to_bytes(16) for item in items])


def _numbers(oid: int, size: int) -> Callable[[list[int]], bytes]:
    pack = _NUMBERS[oid]
    return lambda items: b"".join([pack(size, item) for item in items])


_WRITERS: Final[dict[int, Callable[[list[Any]], bytes]]] = {
    20: _numbers(20, 8),
    21: _numbers(21, 2),
    23: _numbers(23, 4),
    25: _texts,
    2950: _uuids,
}
"""By the type's number in PostgreSQL."""
