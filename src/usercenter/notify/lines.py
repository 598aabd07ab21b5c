"""Text from strangers, made fit for one line of a mail: names, addresses, what a mail server answers."""

import unicodedata
from typing import Any

_JOINERS = {"\u200c", "\u200d"}
"""Format characters that emoji and several scripts cannot do without."""
_BREAKS = {"Zl", "Zp"}
_REMOVED = {"Cc", "Cf", "Cs", "Co", "Cn"}
"""Control, format (among them all that turns the writing direction), surrogate, private and unassigned characters."""


def one_line(text: str) -> str:
    """The text on one line, without characters that are not seen but act.

    Line breaks and runs of blanks become one space. Emoji, and names in any script, stay as they are.
    """
    harmless = text if text.isprintable() else "".join(map(_harmless, text))
    return " ".join(harmless.split())


def one_line_each(value: Any) -> Any:
    """The value with every string in it, at any depth of dicts and lists, on one line. Other types pass unchanged."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {key: one_line_each(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [one_line_each(inner) for inner in value]
    return value


def spaced(name: str) -> str:
    """The name as it stands among Chinese characters: a space on each side that is in another script."""
    before, after = (" " if character < "\u2e80" else "" for character in (name[:1], name[-1:]))
    return f"{before}{name}{after}"


def _harmless(character: str) -> str:
    if character.isspace() or unicodedata.category(character) in _BREAKS:
        return " "
    if character in _JOINERS or unicodedata.category(character) not in _REMOVED:
        return character
    return ""
