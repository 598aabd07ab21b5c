"""CloudEvents of other producers, turned into our flat form before anything else looks at them.

Both modes of the Kafka protocol binding (https://github.com/cloudevents/spec, 1.0): binary, where the attributes are
`ce_…` headers and the value is the data alone, and structured, where the value is the whole event as JSON. Our own
messages are binary mode with a flat value, which needs no turning.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec

STRUCTURED: Final = "application/cloudevents+json"
_IDS: Final = UUID("0b9c1f1e-98c9-5d6c-8a35-6a7a5bd9c3f4")
"""Namespace of ids for events whose own id is no UUID: made of source and id, so always the same."""
_CONTEXT: Final = {"specversion", "id", "source", "type", "time", "subject", "datacontenttype", "dataschema"}
_OURS: Final = {"requestid": "request_id", "causationid": "causation_id", "actor": "actor", "version": "version"}
"""Extension attributes (small letters and digits only, by the specification) and our names for them."""


class _Peek(msgspec.Struct):
    specversion: str | None = None


_peek: Final = msgspec.json.Decoder(_Peek)


class NoCloudEvent(Exception):
    """The headers or the value say CloudEvents and are none that we can read; the message says why."""


def is_structured(headers: Mapping[str, str]) -> bool:
    """Whether the value is a whole CloudEvent. Header names are looked up as they are written, in small letters."""
    return headers.get("content-type", "").startswith("application/cloudevents")


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether the headers are those of a CloudEvent."""
    return "ce_specversion" in headers and "ce_type" in headers


def from_structured(value: bytes, headers: Mapping[str, str]) -> bytes:
    """The flat form of a structured CloudEvent. Raises NoCloudEvent."""
    kind = headers["content-type"].partition(";")[0].strip()
    if kind != STRUCTURED:
        raise NoCloudEvent(f"the content type {kind!r} cannot be read; send {STRUCTURED}")
    return from_whole(value)


def is_whole(value: bytes) -> bool:
    """Whether the value is a whole CloudEvent by itself: a widespread SDK writes those without the content type."""
    try:
        return _peek.decode(value).specversion is not None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def from_whole(value: bytes) -> bytes:
    """The flat form of a CloudEvent that is whole in the value. Raises NoCloudEvent."""
    whole = _object(value, "the value")
    data = whole.pop("data", None)
    if "data_base64" in whole:
        data = _object(_unpacked(whole.pop("data_base64")), "data_base64")
    return _flat(whole, data)


def from_binary(value: bytes, headers: Mapping[str, str]) -> bytes:
    """The flat form of a CloudEvent in binary mode, whether its value is flat already or the data alone.

    Raises NoCloudEvent.
    """
    _check_kind(headers.get("content-type"))
    body = _object(value, "the value")
    if body.get("id") == headers.get("ce_id") and body.get("type") == headers["ce_type"]:
        return value
    attributes: dict[str, Any] = {
        name.removeprefix("ce_"): text for name, text in headers.items() if name.startswith("ce_")
    }
    attributes["datacontenttype"] = headers.get("content-type")
    if request_id := headers.get("request_id"):
        attributes.setdefault("requestid", request_id)
    return _flat(attributes, body)


def _flat(attributes: Mapping[str, Any], data: Any) -> bytes:
    _check(attributes)
    if not isinstance(data, dict | None):
        raise NoCloudEvent("the data is no JSON object")
    fields = data or {}
    user_id = fields.get("user_id") or attributes.get("subject")
    if user_id is None:
        raise NoCloudEvent("nothing says whose event it is: set subject (ce_subject) to the user's id")
    envelope = {
        "id": _id(attributes),
        "type": attributes["type"],
        "source": attributes["source"],
        "timestamp": attributes["time"],
        "user_id": user_id,
    }
    for name, ours in _OURS.items():
        if attributes.get(name) is not None:
            envelope[ours] = attributes[name]
    if (sequence := attributes.get("sequence")) is not None:
        envelope["sequence"] = _number(sequence)
    return msgspec.json.encode(fields | envelope)


def _check(attributes: Mapping[str, Any]) -> None:
    version = attributes.get("specversion")
    if version != "1.0":
        raise NoCloudEvent(f"specversion {version!r} cannot be read; send 1.0")
    missing = [name for name in ("id", "source", "type", "time") if not isinstance(attributes.get(name), str)]
    if missing:
        raise NoCloudEvent(f"the CloudEvent lacks {', '.join(missing)}")
    _check_kind(attributes.get("datacontenttype"))


def _check_kind(datacontenttype: str | None) -> None:
    kind = (datacontenttype or "application/json").partition(";")[0].strip()
    if kind != "application/json" and not kind.endswith("+json"):
        raise NoCloudEvent(f"data of type {kind!r} cannot be read; send application/json")


def _id(attributes: Mapping[str, Any]) -> UUID:
    try:
        return UUID(attributes["id"])
    except ValueError:
        return uuid5(_IDS, f"{attributes['source']} {attributes['id']}")


def _number(sequence: Any) -> Any:
    return int(sequence) if isinstance(sequence, str) and sequence.isascii() and sequence.isdigit() else sequence


def _object(value: bytes, what: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(value, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoCloudEvent(f"{what} is no JSON object: {error}") from error


def _unpacked(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise NoCloudEvent("data_base64 is not base64") from error
