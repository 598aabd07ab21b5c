"""The topics in one AsyncAPI 3.0 document: for code generators, catalogues and people of other teams."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from usercenter.events.envelope import Event, type_of
from usercenter.events.schema import schema_of

_TOPICS: Final = {
    "user_events": "What happened to users: read by the whole company.",
    "user_notifications": "Requests to tell a user something by mail or SMS: written by the whole company.",
    "user_analytics": "Facts without personal data: read by data platforms.",
}
_WRITTEN_BY_OTHERS: Final = frozenset({"user_notifications", "user_events"})
_KEY: Final = {
    "type": "string",
    "format": "uuid",
    "description": "The user's id: all messages of one user lie in one partition, in order.",
}


def document(event_classes: Iterable[type[Event]], topics: Mapping[str, str], *, version: str) -> dict[str, Any]:
    """The document for these classes; `topics` has the topic's name on the broker by stream."""
    classes = list(event_classes)
    by_stream = {stream: [each for each in classes if each.stream == stream] for stream in topics}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "usercenter",
            "version": version,
            "description": "The events of the service that owns the company's user accounts. Messages may come twice "
            "under the same id; fields that a reader does not know are to be ignored.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {stream: _channel(stream, topics[stream], inside) for stream, inside in by_stream.items()},
        "operations": _operations(by_stream),
        "components": {
            "messages": {type_of(each): _message(each) for each in classes},
            "schemas": _schemas(classes),
        },
    }


def _channel(stream: str, topic: str, classes: Iterable[type[Event]]) -> dict[str, Any]:
    return {
        "address": topic,
        "description": _TOPICS[stream],
        "messages": {type_of(each): {"$ref": f"#/components/messages/{type_of(each)}"} for each in classes},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": "0.5.0"}},
    }


def _operations(by_stream: Mapping[str, Iterable[type[Event]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stream in by_stream:
        channel = {"$ref": f"#/channels/{stream}"}
        found[f"send_{stream}"] = {"action": "send", "channel": channel, "summary": "usercenter writes these."}
        if stream in _WRITTEN_BY_OTHERS:
            found[f"receive_{stream}"] = {
                "action": "receive",
                "channel": channel,
                "summary": "usercenter reads these, its own and those of other programs.",
            }
    return found


def _message(event_class: type[Event]) -> dict[str, Any]:
    type_ = type_of(event_class)
    return {
        "name": type_,
        "title": event_class.__name__,
        "summary": schema_of(event_class).get("description", ""),
        "contentType": "application/json",
        "headers": _headers(type_),
        "payload": {"$ref": f"#/components/schemas/{type_}"},
        "correlationId": {"location": "$message.header#/request_id"},
        "bindings": {"kafka": {"key": _KEY, "bindingVersion": "0.5.0"}},
    }


def _headers(type_: str) -> dict[str, Any]:
    """None is required: other producers may send the value alone."""
    text = {"type": "string"}
    return {
        "type": "object",
        "properties": {
            "event_type": {"type": "string", "const": type_},
            "request_id": text,
            "content-type": {"type": "string", "const": "application/json"},
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_id": {"type": "string", "format": "uuid"},
            "ce_type": {"type": "string", "const": type_},
            "ce_source": text,
            "ce_time": {"type": "string", "format": "date-time"},
            "ce_subject": {"type": "string", "format": "uuid", "description": "The user's id."},
            "ce_sequence": {"type": "string", "pattern": "^[0-9]+$"},
            "traceparent": text,
        },
    }


def _schemas(classes: Iterable[type[Event]]) -> dict[str, Any]:
    """The payloads; what they refer to stands beside them under `type.Name`."""
    found: dict[str, Any] = {}
    for each in classes:
        type_ = type_of(each)
        text = json.dumps(schema_of(each)).replace('"#/$defs/', f'"#/components/schemas/{type_}.')
        schema = json.loads(text)
        for name, definition in schema.pop("$defs", {}).items():
            found[f"{type_}.{name}"] = definition
        found[type_] = {key: value for key, value in schema.items() if key not in {"$schema", "$id"}}
    return found
