"""Which classes exist, by the name that they have on the wire."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Union

import msgspec

from usercenter.events import cloudevents
from usercenter.events.cloudevents import NoCloudEvent
from usercenter.events.envelope import Event, type_of

_NO_HEADERS: Final[Mapping[str, str]] = {}
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_PLAIN: Final = "application/json"  # what our own messages say: nothing more to look at


class Undecodable(Exception):
    """The bytes are not an event that today's code can read; the message says why, without the data."""


class UnknownType(Exception):
    """A well-formed message of a type that nobody here has declared: counted and skipped, never fatal."""

    def __init__(self, type: str) -> None:
        super().__init__(f"no event class is registered for type {type!r}")
        self.type = type


class _Peek(msgspec.Struct):
    type: str


class Registry:
    """All events of one running service. Built once at the start, never filled as a side effect of an import."""

    def __init__(self, classes: Iterable[type[Event]]) -> None:
        self._by_type: dict[str, type[Event]] = {}
        for event_class in classes:
            self._add(event_class)
        union: Any = Union[tuple(self._by_type.values())]  # noqa: UP007  # built at run time
        self._decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(union)
        self._peek = msgspec.json.Decoder(_Peek)

    def _add(self, event_class: type[Event]) -> None:
        name = type_of(event_class)
        if name in self._by_type:
            raise ValueError(f"two classes claim the event type {name!r}: {self._by_type[name]} and {event_class}")
        self._by_type[name] = event_class

    def __contains__(self, type: object) -> bool:
        return type in self._by_type

    def classes(self) -> Mapping[str, type[Event]]:
        """Event classes by type."""
        return self._by_type

    def label(self, type: str) -> str:
        """The type if it is ours, else `other`: keeps foreign text out of metric labels."""
        return type if type in self._by_type else "other"

    def decode(self, value: bytes | None, headers: Mapping[str, str] = _NO_HEADERS) -> Event:
        """The event behind the bytes: our flat form, or by its headers a CloudEvent in binary or structured mode.

        Raises UnknownType, and Undecodable with the reason.
        """
        return self.read(value, headers)[0]

    def read(self, value: bytes | None, headers: Mapping[str, str] = _NO_HEADERS) -> tuple[Event, bytes]:
        """As `decode`, and the event's bytes in our flat form: the same object unless they came in another form.

        What is kept of a message (a task, a replay) is kept in the flat form, for there the headers are gone.
        """
        if not value:
            raise Undecodable("the message has no value")
        if headers.get("content-type", _PLAIN) != _PLAIN and cloudevents.is_structured(headers):
            flat = self._turned(value, headers)
            return self._plain(flat), flat
        try:
            return self._decoder.decode(value), value
        except _UNREADABLE as error:
            flat = self._turned(value, headers)
            if flat is value:
                raise self._explained(value, error) from error
        return self._plain(flat), flat

    def _plain(self, flat: bytes) -> Event:
        try:
            return self._decoder.decode(flat)
        except _UNREADABLE as error:
            raise self._explained(flat, error) from error

    def _turned(self, value: bytes, headers: Mapping[str, str]) -> bytes:
        """A CloudEvent in our flat form; what is none, as it is. Raises Undecodable."""
        try:
            if cloudevents.is_structured(headers):
                return cloudevents.from_structured(value, headers)
            if cloudevents.is_binary(headers):
                return cloudevents.from_binary(value, headers)
            return cloudevents.from_whole(value) if cloudevents.is_whole(value) else value
        except NoCloudEvent as error:
            raise Undecodable(f"not a CloudEvent: {error}") from error

    def _explained(self, value: bytes, error: Exception) -> Undecodable | UnknownType:
        try:
            type_ = self._peek.decode(value).type
        except _UNREADABLE:
            return Undecodable(f"not a JSON object with a type: {error}")
        if type_ in self._by_type:
            return Undecodable(f"{type_}: {error}")
        return UnknownType(type_)
