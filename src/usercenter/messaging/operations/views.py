"""Letters and tasks as they are shown: without personal data, unless somebody asks for it, which goes on record."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from usercenter.events.masking import MASK, fields_of_bytes, masked_event, masked_headers, masked_text
from usercenter.messaging.operations.letter_queries import Cause, Letter
from usercenter.messaging.operations.task_queries import TaskRow


class ShownLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A letter for a screen."""

    id: int
    group: str
    handler: str
    topic: str
    partition: int | None
    offset: int | None
    event_type: str | None
    event_id: UUID | None
    user_id: UUID | None
    task_position: int | None
    attempts: int
    cause: str
    error: str
    died_at: datetime
    settled_at: datetime | None
    settled_how: str | None
    operation_id: UUID | None
    key: str | None
    headers: dict[str, str]
    value: Any
    is_masked: bool


class ShownCause(msgspec.Struct, frozen=True, kw_only=True):
    """A cause for a screen."""

    handler: str
    cause: str
    event_type: str | None
    count: int
    first_at: datetime
    last_at: datetime
    example: int
    error: str


class ShownTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task for a screen."""

    position: int
    handler: str
    state: str
    user_id: UUID
    sequence: int | None
    event_id: UUID
    event_type: str
    group: str
    topic: str
    partition: int
    offset: int
    attempts: int
    next_attempt_at: datetime
    error: str | None
    occurred_at: datetime
    created_at: datetime
    headers: dict[str, str]
    value: Any
    is_masked: bool


def letter(found: Letter, *, is_masked: bool = True) -> ShownLetter:
    """The letter, masked or whole."""
    facts = msgspec.structs.asdict(found) | {
        "error": masked_text(found.error, found.value) if is_masked else found.error,
        "key": _key(found.key, is_masked=is_masked),
        "headers": _headers(found.headers, is_masked=is_masked),
        "value": _value(found.value, is_masked=is_masked),
        "is_masked": is_masked,
    }
    return ShownLetter(**facts)


def cause(found: Cause) -> ShownCause:
    """The cause with its example's error, masked."""
    facts = msgspec.structs.asdict(found)
    value = facts.pop("value")
    return ShownCause(**facts | {"error": masked_text(found.error, value)})


def task(found: TaskRow, *, is_masked: bool = True) -> ShownTask:
    """The task, masked or whole."""
    facts = msgspec.structs.asdict(found)
    payload, error = facts.pop("payload"), facts.pop("last_error")
    return ShownTask(
        **facts
        | {
            "error": masked_text(error, payload) if error and is_masked else error,
            "headers": _headers(found.headers, is_masked=is_masked),
            "value": _value(payload, is_masked=is_masked),
            "is_masked": is_masked,
        }
    )


def _headers(headers: Mapping[str, str], *, is_masked: bool) -> dict[str, str]:
    return masked_headers(headers) if is_masked else dict(headers)


def _key(key: bytes | None, *, is_masked: bool) -> str | None:
    """A user's id says nothing; another key may."""
    if key is None:
        return None
    text = key.decode("utf-8", "backslashreplace")
    if not is_masked:
        return text
    try:
        return str(UUID(text))
    except ValueError:
        return MASK


def _value(value: bytes | None, *, is_masked: bool) -> Any:
    """The fields of an event; bytes that are none as text, or their number alone."""
    if value is None:
        return None
    fields = fields_of_bytes(value)
    if fields is not None:
        return masked_event(fields) if is_masked else fields
    return f"{MASK} ({len(value)} bytes)" if is_masked else value.decode("utf-8", "backslashreplace")
