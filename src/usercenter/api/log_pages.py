"""Pages of what is kept about one user, newest first: the same for the owner and for who looks after users."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Protocol, TypeVar
from uuid import UUID

import msgspec
from litestar.params import QueryParameter

from usercenter.api.cursors import Cursors
from usercenter.api.services import Services
from usercenter.db import Transaction

Size = Annotated[int, QueryParameter(ge=1, le=100)]
"""How a route takes the number of lines of a page."""


class Line(Protocol):
    """A line of a log, made by one event."""

    @property
    def event_id(self) -> UUID: ...


L = TypeVar("L", bound=Line)
L_co = TypeVar("L_co", bound=Line, covariant=True)


class Log(Protocol[L_co]):
    """Reads a log: the newest lines of a user that are older than `before` (moment and event id of a line)."""

    async def __call__(
        self, tx: Transaction, user_id: UUID, *, before: tuple[datetime, UUID] | None, limit: int
    ) -> Sequence[L_co]: ...


class _Position(msgspec.Struct, frozen=True):
    """The last line of a page."""

    at: datetime
    id: UUID


async def log_page(
    services: Services,
    log: Log[L],
    user_id: UUID,
    *,
    name: str,
    at: Callable[[L], datetime],
    cursor: str | None,
    limit: int,
) -> tuple[Sequence[L], str | None]:
    """The lines of the page that the cursor begins (none: the first), and the cursor of the next; None on the last.

    A cursor is good for the log of this name of this user alone. Raises InvalidFields.
    """
    cursors, scope = Cursors(services.tokens.derive_key), f"{name} of {user_id}"
    position = cursors.read(cursor, _Position, scope=scope) if cursor is not None else None
    before = (position.at, position.id) if position else None
    async with services.database.transaction() as tx:
        found = await log(tx, user_id, before=before, limit=limit + 1)
    shown = found[:limit]
    if len(found) <= limit:
        return shown, None
    return shown, cursors.write(_Position(at(shown[-1]), shown[-1].event_id), scope=scope)
