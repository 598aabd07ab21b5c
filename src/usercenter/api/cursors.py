"""Where the next page begins: sealed, so that nobody reads a name in an address or makes up a position.

A cursor belongs to one question (its scope: filters, order, user) and is refused with any other.
"""

import base64
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

import msgspec
from litestar.params import QueryParameter

from usercenter.api.sealing import SealBroken, Sealing
from usercenter.users.errors import InvalidFields, Problem

T = TypeVar("T")

_LONGEST: Final = 1_500
Cursor = Annotated[
    str | None,
    QueryParameter(
        max_length=_LONGEST,
        required=False,
        description="`next_cursor` of the page before.",
        schema_extra={"pattern": "^[A-Za-z0-9_-]+$"},
    ),
]
"""How a route takes one."""


class Cursors:
    """Writes and reads them. `derive(purpose, salt=…)` makes secret keys, the same in every process."""

    def __init__(self, derive: Callable[..., bytes]) -> None:
        self._sealing = Sealing(lambda purpose, **salt: derive(f"cursor: {purpose}", **salt))

    def write(self, position: Any, *, scope: str) -> str:
        """A cursor for this position."""
        sealed = self._sealing.seal(msgspec.json.encode(position), key=scope)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def read(self, cursor: str, kind: type[T], *, scope: str) -> T:
        """The position again. Raises InvalidFields."""
        try:
            sealed = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
            return msgspec.json.decode(self._sealing.open(sealed, key=scope), type=kind)
        except (ValueError, SealBroken, msgspec.DecodeError) as error:
            problem = Problem("cursor", "cursor", "is of no page before this one: send next_cursor with the same query")
            raise InvalidFields([problem]) from error
