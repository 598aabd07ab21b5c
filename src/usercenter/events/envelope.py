"""The envelope: what every event carries, and its form on the wire.

On the wire an event is one flat JSON object, keyed by the user's id, with CloudEvents 1.0 headers beside it (binary
mode of the Kafka protocol binding, https://github.com/cloudevents/spec). Fields of later versions are ignored, so a
compatible change only ever adds an optional field.
"""

import re
from datetime import UTC, datetime
from functools import cache
from hashlib import sha1
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, dataclass_transform
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

Personal = Annotated[str, msgspec.Meta(extra={"personal": True})]
"""Text that tells who somebody is: masked in logs and tools, and what a deletion has to purge."""
PersonalFacts = Annotated[dict[str, Any], msgspec.Meta(extra={"personal": True})]
"""Values by name, of which any may tell who somebody is."""
Sequence = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""What a `bigint` of the database can hold; a larger one on the wire is an error of its producer."""

SOURCE: Final = "usercenter"
VERSION: Final = "1.0"
_TYPE: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")

_write = msgspec.json.Encoder(uuid_format="canonical")
_read_headers = msgspec.json.Decoder(dict[str, str]).decode


class EventMeta(msgspec.StructMeta):
    """Lets an event say its type where its class is opened: `class UserRegistered(UserEvent, type=…)`.

    Events are immutable and built by keyword, whether a class says so or not.
    """

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, type: str | None = None, **options: Any
    ) -> Any:
        if type is not None:
            options["tag"] = type
        return super().__new__(mcls, name, bases, namespace, **{"frozen": True, "kw_only": True, **options})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", metaclass=EventMeta):
    """A fact about one user, as it goes to Kafka.

    `actor`, `sequence` and `causation_id` are ours; events of other producers may lack them.
    """

    stream: ClassVar[str]
    """Which topic of the configuration carries it: user_events, user_notifications or user_analytics."""
    outlives_erasure: ClassVar[bool] = False
    """Whether it still has an effect when the user's personal data is purged already."""

    id: UUID
    source: str = SOURCE
    timestamp: datetime
    version: str = VERSION
    request_id: str = ""
    user_id: UUID
    data: dict[str, Any] = {}
    actor: str | None = None
    """Who caused it: a user's id, `system`, or the name of an operator."""
    sequence: Sequence | None = None
    """The user's own version number, taken under the lock of the user's row: proves order, duplicates and gaps."""
    causation_id: UUID | None = None
    """The event of which this one is a consequence."""

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, type: str = ..., frozen: bool = ..., kw_only: bool = ...) -> None: ...

    @property
    def type(self) -> str:
        """The name on the wire, `user.registered`."""
        return type_of(self.__class__)

    @property
    def occurred_at(self) -> datetime:
        """The timestamp with its zone; one without is read as UTC, as other producers write it."""
        return self.timestamp if self.timestamp.tzinfo else self.timestamp.replace(tzinfo=UTC)


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a change comes from: goes with it from the request into the event and every log line."""

    request_id: str = ""
    actor: str = "system"
    ip_address: str | None = None
    user_agent: str | None = None
    traceparent: str | None = None


@cache
def type_of(event_class: type[Event]) -> str:
    """The name that events of this class have on the wire."""
    return str(event_class.__struct_config__.tag)


def is_type(name: str) -> bool:
    """Whether this may be the type of an event: words of small letters, digits and _ joined by dots."""
    return _TYPE.fullmatch(name) is not None


def new_id() -> UUID:
    """A fresh UUIDv7: sorts by time, unique everywhere."""
    return uuid7()


def derived_id(cause: UUID, purpose: str) -> UUID:
    """The id of a message that follows from an event: the same at every attempt, so that it is recognised (UUIDv5)."""
    digest = sha1(cause.bytes + purpose.encode(), usedforsecurity=False).digest()
    number = int.from_bytes(digest[:16]) & ~(0xF000 << 64) | 0x5000 << 64  # as `uuid.uuid5`, in half of its time
    return UUID(int=number & ~(0xC000 << 48) | 0x8000 << 48)


def encode(event: Event) -> bytes:
    """The event as it stands on the wire: flat JSON, envelope first, absent optional fields left out."""
    body: dict[str, Any] = {"id": event.id, "type": event.type}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if value is not None:
            body[name] = value
    return _write.encode(body)


def headers_of(event: Event, *, traceparent: str | None = None) -> dict[str, str]:
    """The Kafka headers of an event: those that this platform's consumers read, and CloudEvents' own."""
    return _read_headers(encode_headers(event, traceparent=traceparent))


def encode_headers(event: Event, *, traceparent: str | None = None) -> bytes:
    """The same as one JSON object, as the outbox keeps them."""
    headers: dict[str, Any] = {
        "event_type": event.type,
        "request_id": event.request_id,
        "content-type": "application/json",
        "ce_id": event.id,
        "ce_type": event.type,
        "ce_source": event.source,
        "ce_specversion": "1.0",
        "ce_time": event.occurred_at,  # written with Z for UTC
        "ce_subject": event.user_id,
    }
    if event.sequence is not None:
        headers["ce_sequence"] = str(event.sequence)
    if traceparent:
        headers["traceparent"] = traceparent
    return _write.encode(headers)
