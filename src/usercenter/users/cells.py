"""Cells of a CSV file that no spreadsheet takes for a formula, and what they said before.

Spreadsheets run a cell that begins with one of a few characters, and names are chosen by strangers. So such a cell gets
an apostrophe in front, which spreadsheets read as "this is text"; and so does one that would look as if it had got one.
"""

from typing import Final

_BEGIN_FORMULAS: Final = frozenset("=+-@\t\r")
_MARK: Final = "'"
_MARKED: Final = _BEGIN_FORMULAS | {_MARK}


def harmless(text: str) -> str:
    """The text as a cell; `original` of it is the text again, whatever it is."""
    is_ambiguous = text[:1] == _MARK and text[1:2] in _MARKED
    return _MARK + text if text[:1] in _BEGIN_FORMULAS or is_ambiguous else text


def original(cell: str) -> str:
    """What the cell said before `harmless`; a cell that needed no mark says itself."""
    return cell[1:] if cell[:1] == _MARK and cell[1:2] in _MARKED else cell
