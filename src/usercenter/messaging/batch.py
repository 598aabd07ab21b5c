"""A batch as it came from Kafka, and what its bytes say.

Whatever passes here can be stored: nothing that a stranger writes into an event may fail later, outside of a handler,
where it would hold up the whole partition.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from usercenter.events import Event, Registry, Undecodable, UnknownType
from usercenter.events.cloudevents import is_structured

_COORDINATES: Final = UUID("5f0c1c5e-6d0e-5b7b-9a39-0f6a4d1d2b11")  # namespace of ids for messages that have none
_EARLIEST: Final = datetime(2, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)
_LARGEST_OFFSET: Final = timedelta(hours=16)  # PostgreSQL reads no zone beyond it
_LARGEST_SEQUENCE: Final = 2**63 - 1


class Received(NamedTuple):
    """A message as it came from Kafka."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]

    @property
    def fallback_id(self) -> UUID:
        """An id for a message that has none: made of where it lies and what it says.

        The bytes belong to it because a topic that was made anew begins at offset 0 again.
        """
        digest = sha256(self.value or b"").hexdigest()
        return uuid5(_COORDINATES, f"{self.topic}/{self.partition}/{self.offset}/{digest}")


class Item(NamedTuple):
    """An event and the message that brought it."""

    event: Event
    message: Received


class Broken(NamedTuple):
    """A message that is no event, or is never to be looked at again, and why."""

    message: Received
    error: Exception


class Batch(NamedTuple):
    """A batch, read."""

    topic: str
    messages: Sequence[Received]
    items: list[Item]
    broken: list[Broken]
    unknown: int


def read(messages: Sequence[Received], registry: Registry) -> Batch:
    """Tell events from messages of unknown types and from those that nobody can read. There must be one at least."""
    items: list[Item] = []
    broken: list[Broken] = []
    unknown = 0
    for message in messages:
        try:
            event, flat = registry.read(message.value, message.headers)
            _check(event)
        except Undecodable as error:
            broken.append(Broken(message, error))
        except UnknownType:
            unknown += 1
        else:
            items.append(Item(event, message if flat is message.value else _flattened(message, flat)))
    return Batch(messages[0].topic, messages, items, broken, unknown)


def _flattened(message: Received, flat: bytes) -> Received:
    """The message with its event in our flat form, and with headers that can be read together with it again."""
    headers = message.headers
    if is_structured(headers):
        headers = {**headers, "content-type": "application/json", "original_content_type": headers["content-type"]}
    return message._replace(value=flat, headers=headers)


def _check(event: Event) -> None:
    """Raises Undecodable for what our columns cannot hold, or hold and never give back."""
    if event.sequence is not None and abs(event.sequence) > _LARGEST_SEQUENCE:
        raise Undecodable(f"{event.type}: the sequence has more than 64 bits - at `$.sequence`")
    moment = event.occurred_at
    if moment.tzinfo is UTC and _EARLIEST <= moment < _LATEST:
        return
    offset = moment.utcoffset() or timedelta()
    if not (_EARLIEST <= moment < _LATEST and abs(offset) < _LARGEST_OFFSET):
        raise Undecodable(f"{event.type}: no such moment can be stored - at `$.timestamp`")
