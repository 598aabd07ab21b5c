"""How commands print data: aligned columns for people, JSON for programs, and nothing that a terminal would obey."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def visible(value: Any) -> str:
    """The value as text in which control characters, line breaks and hidden turns of direction are written out."""
    return _UNSAFE.sub(
        lambda found: found.group().encode("unicode_escape").decode(), "" if value is None else str(value)
    )


def print_json(data: Any) -> None:
    """One JSON document on stdout."""
    import msgspec

    print(msgspec.json.encode(data, enc_hook=str).decode())  # noqa: T201


def print_columns(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Rows under their titles, numbers to the right, on stdout."""
    data = [list(row) for row in rows]
    cells = [[visible(value) for value in row] for row in data]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    is_number = [all(isinstance(row[i], int | float | None) for row in data) for i in range(len(titles))]
    for row in [list(titles), *cells]:
        parts = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, is_number, strict=True)
        )
        print("  ".join(parts).rstrip())  # noqa: T201
