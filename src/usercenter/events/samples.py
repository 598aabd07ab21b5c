"""One example of each event, as it stands on the wire: for the pages that other teams read, and for tests."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import inspect as shapes

from usercenter.events.envelope import Event
from usercenter.events.schema import fields_of
from usercenter.events.user_events import USER_EVENTS

_ID: Final = UUID("01980000-0000-7000-8000-000000000001")
_USER: Final = UUID("01980000-0000-7000-8000-00000000000a")
_WHEN: Final = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
_BY_NAME: Final[dict[str, Any]] = {
    "id": _ID,
    "user_id": _USER,
    "timestamp": _WHEN,
    "source": "usercenter",
    "version": "1.0",
    "request_id": "01980000-0000-7000-8000-0000000000f1",
    "data": {},
    "actor": str(_USER),
    "sequence": 7,
    "causation_id": None,
    "username": "ada",
    "email": "ada@example.com",
    "to": "ada@example.com",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "locale": "en",
    "ip_address": "203.0.113.7",
    "user_agent": "Mozilla/5.0",
    "old_status": "active",
    "new_status": "suspended",
    "status": None,
    "reason": "asked by the owner",
    "deleted_by": str(_USER),
    "template": "welcome",
    "parameters": {"username": "ada"},
    "changes": {"first_name": "Ada"},
}


def sample_of(event_class: type[Event]) -> Event:
    """An event of the class with its fields filled in, always the same; a sequence is in those of the user's row alone.

    Examples are copied, and who copies a sequence claims a change of that row.
    """
    values = {field.name: _value(field) for field in fields_of(event_class)}
    if event_class not in USER_EVENTS:
        del values["sequence"]
    return msgspec.convert(
        {name: value for name, value in values.items() if value is not None}
        | {"type": event_class.__struct_config__.tag},
        event_class,
    )


def _value(field: shapes.Field) -> Any:
    if field.name in _BY_NAME:
        return _BY_NAME[field.name]
    return _of(field.type, field.name)


def _of(kind: shapes.Type, name: str) -> Any:  # noqa: C901, PLR0911  # one line for each kind
    match kind:
        case shapes.Metadata(type=inner):
            return _of(inner, name)
        case shapes.UnionType(types=inside):
            return _of(next(each for each in inside if not isinstance(each, shapes.NoneType)), name)
        case shapes.LiteralType(values=values):
            return values[0]
        case shapes.BoolType():
            return True
        case shapes.IntType(ge=low):
            return low or 1
        case shapes.FloatType():
            return 1.5
        case shapes.DateTimeType():
            return _WHEN
        case shapes.UUIDType():
            return _USER
        case shapes.ListType(item_type=inner):
            return [_of(inner, name)]
        case shapes.StructType(fields=fields):
            return {field.encode_name: _of(field.type, field.name) for field in fields}
        case shapes.DictType() | shapes.AnyType():
            return {}
        case _:
            return name.replace("_", " ")
