"""JSON Schema (2020-12) of the events as they stand on the wire, made from their classes."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any, Final

import msgspec
from msgspec import inspect as shapes

from usercenter.events.envelope import Event, type_of

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
PERSONAL: Final = "x-personal"
"""Marks a field that tells who somebody is."""


def schema_of(event_class: type[Event]) -> dict[str, Any]:
    """What every message of this class looks like; fields that it does not name are allowed and ignored."""
    made: dict[str, Any] = msgspec.json.schema(event_class, ref_template="#/$defs/{name}")
    definitions = made["$defs"]
    whole: dict[str, Any] = definitions.pop(event_class.__name__)
    notes = notes_of(event_class)
    for field in fields_of(event_class):
        whole["properties"][field.encode_name] |= _marks(field, notes)
    name = {"$schema": DIALECT, "$id": f"urn:usercenter:event:{type_of(event_class)}"}
    return name | whole | ({"$defs": definitions} if definitions else {})


def fields_of(event_class: type[Event]) -> tuple[shapes.Field, ...]:
    """The fields with their types, the envelope's first; without `type`."""
    kind = shapes.type_info(event_class)
    if not isinstance(kind, shapes.StructType):
        raise TypeError(f"{event_class} is no event class")
    return kind.fields


def is_personal(field: shapes.Field) -> bool:
    """Whether any part of the field's type is marked personal."""
    return any(isinstance(kind, shapes.Metadata) and (kind.extra or {}).get("personal") for kind in _parts(field.type))


@cache
def notes_of(event_class: type[Event]) -> dict[str, str]:
    """What the source says about each field: the text below it. Empty where there is no source to read."""
    notes: dict[str, str] = {}
    for each in reversed(event_class.__mro__):
        if isinstance(each, type) and issubclass(each, Event):
            notes |= _notes_in(each)
    return notes


def _notes_in(event_class: type[Event]) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(event_class))
    except (OSError, TypeError):
        return {}
    body = ast.parse(source).body[0]
    lines = body.body if isinstance(body, ast.ClassDef) else []
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(lines)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def _marks(field: shapes.Field, notes: dict[str, str]) -> dict[str, Any]:
    marks: dict[str, Any] = {}
    if field.name in notes:
        marks["description"] = notes[field.name]
    if is_personal(field):
        marks[PERSONAL] = True
    if any(isinstance(kind, shapes.DateTimeType) for kind in _parts(field.type)):
        marks["format"] = "date-time"
    return marks


def _parts(kind: shapes.Type) -> Iterator[shapes.Type]:
    yield kind
    match kind:
        case shapes.Metadata(type=inner):
            yield from _parts(inner)
        case shapes.UnionType(types=inside):
            for each in inside:
                yield from _parts(each)
        case shapes.ListType(item_type=inner) | shapes.SetType(item_type=inner) | shapes.VarTupleType(item_type=inner):
            yield from _parts(inner)
        case shapes.DictType(key_type=key, value_type=value):
            yield from _parts(key)
            yield from _parts(value)
        case _:
            return
