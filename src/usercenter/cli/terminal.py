"""What is printed: data for people with nothing in it that a terminal would obey, and data for programs."""

import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

_ACTING: Final = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Control, format (among them all that turns the writing direction), surrogate, private and unassigned characters, and
line ends that are none in a file."""


def plain(text: str) -> str:
    """The text on one line, with what a terminal could obey written out: an escape code, not an escape."""
    return "".join(map(_written_out, text))


def short(text: str, length: int) -> str:
    """As `plain`, cut to so many characters."""
    shown = plain(text)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def fitting(text: str, length: int) -> str:
    """As `short` on a terminal; whoever reads elsewhere gets all of it."""
    return short(text, length) if sys.stdout.isatty() else plain(text)


def plain_lines(text: str) -> str:
    """As `plain`, but its lines stay lines."""
    return "\n".join(map(plain, text.split("\n")))


def say(text: str) -> None:
    """A line for the person at the terminal, on stderr; whole, whatever other threads write there meanwhile."""
    sys.stderr.write(f"{plain(text)}\n")
    sys.stderr.flush()


def show(line: str = "") -> None:
    """A line of data, on stdout."""
    print(line)  # noqa: T201


def show_json(value: Any) -> None:
    """Data for programs, on stdout."""
    from usercenter.logs import written_out

    show(written_out(msgspec.json.format(msgspec.json.encode(value)).decode()))


def show_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows in columns as wide as they must be, under titles in small letters; nothing at all when there are none."""
    if not rows:
        return
    texts = [list(map(str.lower, head)), *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(row[number]) for row in texts) for number in range(len(head))]
    for row in texts:
        show("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    """As a table has it; moments to the second, for they are all UTC."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return plain(str("" if value is None else value))


def show_facts(facts: Mapping[str, Any]) -> None:
    """One fact a line; what is not known is left out, and what has parts has a line for each."""
    width = max(map(len, facts), default=0) + 2
    for name, value in facts.items():
        if isinstance(value, Mapping):
            for part, inner in value.items():
                show(f"{name:<{width}}{plain(str(part))}: {plain(_text(inner))}")
        elif value is not None:
            show(f"{name:<{width}}{plain(_text(value))}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _written_out(character: str) -> str:
    if unicodedata.category(character) not in _ACTING:
        return character
    return character.encode("unicode_escape").decode()
