"""Days and moments in a query: one form for all of them, strict enough to be described."""

import re
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from litestar.params import QueryParameter

from usercenter.users.errors import InvalidFields, Problem

_PATTERN: Final = (
    r"^(19[7-9][0-9]|[2-8][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"(T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?)?$"
)
_MOMENT: Final = re.compile(_PATTERN[:-1] + r"\Z")


def moment_parameter(meaning: str, *, name: str | None = None, required: bool = False) -> QueryParameter:
    """How a route describes one; it takes a text and reads it with `moment_of`."""
    return QueryParameter(
        name=name,
        required=required,
        max_length=32,
        description=f"{meaning}; a day or a moment (ISO 8601) of the years 1970 to 8999.",
        schema_extra={"pattern": _PATTERN, "examples": ["2026-03-01", "2026-03-01T08:00:00Z"]},
    )


def moment_of(field: str, text: str, zone: str = "UTC") -> datetime:
    """The moment; without a zone of its own it is one of `zone`. Raises InvalidFields."""
    try:
        moment = datetime.fromisoformat(text) if _MOMENT.match(text) else None
    except ValueError:
        moment = None
    if moment is None:
        raise InvalidFields([Problem(field, "moment", "write a day or a moment: 2026-03-01, 2026-03-01T08:00:00Z")])
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
