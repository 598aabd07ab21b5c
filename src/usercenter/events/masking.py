"""What of an event may be shown to those who need not know whom it is about."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Final

import msgspec

MASK: Final = "***"
_PLAIN: Final = frozenset(
    {"id", "type", "source", "timestamp", "version", "request_id", "user_id", "actor", "sequence", "causation_id"}
    | {"old_status", "new_status", "deleted_by", "locale", "erased", "channel", "template", "category", "metric"}
)
"""The fields that tell nothing about who somebody is; whatever else an event may have counts as personal."""
_PLAIN_HEADERS: Final = frozenset(
    {"event_type", "request_id", "content-type", "traceparent", "group", "handler", "attempts"}
    | {"ce_id", "ce_type", "ce_source", "ce_specversion", "ce_time", "ce_subject", "ce_sequence"}
    | {"original_topic", "original_partition", "original_offset"}
)
_TELLING: Final = re.compile(
    r"""(?P<quoted>(?<!\w)'[^'\n]*'|"[^"\n]*"|(?<==)\([^()\n]*\)|(?<=contains\ )\(.*\))"""
    r"""|[^\s<>()"']+@[^\s<>()"',;]+"""  # an address
    r"""|(?<![\w-])\+?\d(?:[ ()./-]?\d){6,}(?![\w-])"""  # a phone number
    r"""|(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])"""  # an IPv4 address
    r"""|(?<![\w:])(?:[0-9a-f]{1,4}:){2,7}[0-9a-f:]*""",  # an IPv6 address
    re.IGNORECASE,
)


def masked_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event as on the wire, without personal data: the names of its fields stay."""
    return {name: value if name in _PLAIN else MASK for name, value in event.items()}


def masked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with the values of those alone that this platform knows."""
    return {name: value if name in _PLAIN_HEADERS else MASK for name, value in headers.items()}


def masked_text(text: str, value: bytes | None = None) -> str:
    """What an error says, without what it may quote of the event with these bytes.

    Hidden are all personal values of the event, and whatever is quoted or looks like an address or a phone number.
    Rather too much than too little: the kind of the error and the words around stay.
    """
    for secret in sorted(set(_secrets(value)), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _TELLING.sub(_hidden, text)


def fields_of_bytes(value: bytes | None) -> dict[str, Any] | None:
    """The fields of an event's bytes; None for what is no JSON object."""
    try:
        found = msgspec.json.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _secrets(value: bytes | None) -> Iterator[str]:
    for name, each in (fields_of_bytes(value) or {}).items():
        if name not in _PLAIN:
            yield from _texts(each)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and len(value) > 1:
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _hidden(found: re.Match[str]) -> str:
    """The address of one of our own machines tells nothing about a user: a user's own is hidden with the event."""
    try:
        return found[0] if ip_address(found[0]).is_private else MASK
    except ValueError:
        return MASK
