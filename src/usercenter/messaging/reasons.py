"""What an exception says, as text that can be stored and sent; whatever the exception is like."""

from typing import Final

LONGEST_ERROR: Final = 2_000
"""Characters of an error that are kept."""
_MOST_OF_A_GROUP: Final = 5
_DEEPEST_GROUP: Final = 5


def describe(error: BaseException) -> str:
    """The error as text that PostgreSQL and Kafka can store; never raises, whatever the exception is like.

    It may quote data of the event, so it belongs into the table and not into the log.
    """
    return _described(error, _DEEPEST_GROUP)[:LONGEST_ERROR]


def text_of(error: BaseException) -> str:
    """What it says, without its class; cut off where it is too long."""
    try:
        said = str(error)
    except BaseException as failure:  # an exception whose own __str__ raises has to be recorded too
        if isinstance(failure, KeyboardInterrupt):
            raise
        return "(its message cannot be shown)"
    return printable(said)


def printable(text: str) -> str:
    """The text with what neither a text column nor UTF-8 can hold written out, at most so long as an error may be."""
    return storable(text[:LONGEST_ERROR])[:LONGEST_ERROR]


def storable(text: str) -> str:
    """The text with what neither a text column nor UTF-8 can hold written out."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\0")


def _described(error: BaseException, depth: int) -> str:
    text = text_of(error)
    if isinstance(error, BaseExceptionGroup) and depth > 0:
        text += ": " + "; ".join(_described(each, depth - 1) for each in error.exceptions[:_MOST_OF_A_GROUP])
    name = printable(type(error).__name__)
    return printable(f"{name}: {text}" if text else name)
