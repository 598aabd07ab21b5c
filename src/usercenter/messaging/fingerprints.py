"""What two failures have in common: a short name for the cause, equal when only the values in the message differ."""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from usercenter.messaging.reasons import printable, text_of

_LONGEST_CHAIN: Final = 8
_MOST_OF_A_GROUP: Final = 5
_NAMES: Final = ("sqlstate", "table_name", "column_name", "constraint_name")
"""What PostgreSQL says beside its message, and what is quoted in that message like any value."""
_VALUES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<!\w)'.*?'(?!\w)|\".*?\"|`.*?`|“.*?”|«.*?»",
        r"\S+@\S+",
        r"\b[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\b",
        r"\b(?=\w*\d)(?:0[xX])?[0-9a-fA-F]{6,}\b",
        r"[-+]?\d+(?:[.,:]\d+)*",
    )
)


def fingerprint(error: BaseException) -> str:
    """Twelve characters for the cause of a failure: its classes, and its message without values. Never raises.

    The same in every process and version of Python; quoted text, addresses, ids and numbers do not count.
    """
    try:
        facts = "\n".join(_facts(error, _LONGEST_CHAIN))
    except Exception:  # noqa: BLE001  # an exception whose own attributes raise still has a class
        facts = _class(error)
    return _short(facts)


def fingerprint_of_text(name: str, text: str) -> str:
    """The same for a failure that is no exception of ours: what it is called, and what is said of it."""
    return _short(f"{name}\n{without_values(text)}")


def without_values(text: str) -> str:
    """The text with `…` in the place of everything that differs from one case to the next."""
    for pattern in _VALUES:
        text = pattern.sub("…", text)
    return " ".join(text.split())


def _facts(error: BaseException, depth: int) -> Iterator[str]:
    yield _class(error)
    diagnosis = getattr(error, "diag", None)
    said = getattr(diagnosis, "message_primary", None)
    yield without_values(printable(said) if isinstance(said, str) else text_of(error))
    yield from (f"{name}={value}" for name in _NAMES if (value := getattr(diagnosis, name, None)))
    if isinstance(error, BaseExceptionGroup) and depth > 0:
        yield from sorted({fact for each in error.exceptions[:_MOST_OF_A_GROUP] for fact in _facts(each, depth - 1)})
    cause = error.__cause__  # not __context__: that is whatever was being handled just then, ours as well
    while cause is not None and depth > 0:
        yield _class(cause)
        cause, depth = cause.__cause__, depth - 1


def _class(error: BaseException) -> str:
    return printable(f"{type(error).__module__}.{type(error).__qualname__}")


def _short(facts: str) -> str:
    return sha256(facts.encode("utf-8", "backslashreplace")).hexdigest()[:12]
