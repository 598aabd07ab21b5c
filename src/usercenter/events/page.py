"""The catalogue of events for people: one Markdown page, made from the classes and the table of reactions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec import NODEFAULT

from usercenter.config.model import Topics
from usercenter.events.envelope import Event, encode, type_of
from usercenter.events.samples import sample_of
from usercenter.events.schema import fields_of, is_personal, notes_of, schema_of

_HEAD: Final = """# The events

Printed from the classes by `usercenter events docs`; a test compares. The formats for machines:
`usercenter events schema` (JSON Schema 2020-12) and `usercenter events schema --asyncapi` (AsyncAPI 3.0). How to read
and write the topics: [user.events](topics/user.events.md), [user.notifications](topics/user.notifications.md),
[user.analytics](topics/user.analytics.md). How to add your own: [custom events](custom-events.md).
"""
_TOPICS: Final = Topics()


class Reaction(NamedTuple):
    """Something that follows from an event."""

    name: str
    kind: str
    """`record` (in our database, in the batch's transaction) or `outside` (in the world, as a task)."""
    promise: str


def page(event_classes: Sequence[type[Event]], reactions: Mapping[type[Event], Sequence[Reaction]]) -> str:
    """The whole page."""
    return "\n".join(_lines(event_classes, reactions))


def section(event_class: type[Event], reactions: Sequence[Reaction]) -> str:
    """One event alone."""
    return "\n".join(_section(event_class, reactions))


def _lines(event_classes: Sequence[type[Event]], reactions: Mapping[type[Event], Sequence[Reaction]]) -> Iterator[str]:
    yield _HEAD
    yield "| event | topic | |\n|---|---|---|"
    for each in event_classes:
        type_, about = type_of(each), schema_of(each).get("description", "").partition("\n")[0]
        topic = getattr(_TOPICS, each.stream)
        yield f"| [`{type_}`](#{type_.replace('.', '')}) | `{topic}` | {_cell(about)} |"
    yield "\n## What every event has\n"
    yield from _table(Event, set())
    for each in event_classes:
        yield from _section(each, reactions.get(each, ()))


def _section(event_class: type[Event], reactions: Sequence[Reaction]) -> Iterator[str]:
    yield f"\n## {type_of(event_class)}\n"
    yield f"{schema_of(event_class).get('description', '')}\n"
    yield from _table(event_class, {field.name for field in fields_of(Event)})
    if reactions:
        yield "\n| what follows | kind | |\n|---|---|---|"
        yield from (f"| `{each.name}` | {each.kind} | {_cell(each.promise)} |" for each in reactions)
    body = json.loads(encode(sample_of(event_class)))
    yield f"\n```json\n{json.dumps(body, ensure_ascii=False, indent=2)}\n```"


def _table(event_class: type[Event], without: set[str]) -> Iterator[str]:
    properties: dict[str, Any] = schema_of(event_class)["properties"]
    notes = notes_of(event_class)
    fields = [field for field in fields_of(event_class) if field.name not in without]
    yield "| field | type | | |\n|---|---|---|---|"
    for field in fields:
        is_required = field.default is NODEFAULT and field.default_factory is NODEFAULT
        marks = ", ".join(["required" if is_required else "optional", *(["personal"] if is_personal(field) else [])])
        note = _cell(notes.get(field.name, ""))
        yield f"| `{field.name}` | {_cell(_kind(properties[field.encode_name]))} | {marks} | {note} |"


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"] if each.get("type") != "null")
    if "items" in schema:
        return f"list of {_kind(schema['items'])}"
    return str(schema.get("format") or schema.get("type") or str(schema.get("$ref", "any")).rpartition("/")[2])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
