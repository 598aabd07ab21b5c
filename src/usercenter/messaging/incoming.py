"""A message as the client library gives it, made ours."""

from collections.abc import Callable
from operator import methodcaller
from sys import intern
from typing import Final

import confluent_kafka

from usercenter.messaging.batch import Received

Headers = list[tuple[str, str | bytes | None]]
_call_headers: Final[Callable[[confluent_kafka.Message], Headers | None]] = methodcaller("headers")
"""Not `message.headers()`: for a name that is not UTF-8 it returns a list with a hole beside its exception, which
Python's quick paths for calls do not notice (seen with confluent-kafka 2.16.1: SIGSEGV). This way is always checked."""


def received(message: confluent_kafka.Message) -> Received:
    """A message of the client library as ours; header values that are not UTF-8 keep their bytes as escapes."""
    return Received(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=message.key(),
        value=message.value(),
        headers=_headers(message),
    )


def _headers(message: confluent_kafka.Message) -> dict[str, str]:
    """None at all where a name is not UTF-8: the client library fails on it, and the value is what counts.

    Every message has the same dozen of names, so they are kept once.
    """
    try:
        return {intern(name): _text(value) for name, value in _call_headers(message) or ()}
    except (SystemError, UnicodeDecodeError):
        return {}


def _text(value: str | bytes | None) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value or ""
