"""Finding users: filters, an order from a list, and pages that begin behind a given user (keyset), however deep.

Text is compared by its key, without case, and byte by byte, so that a prefix is a range of an index.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID

import msgspec
from psycopg import sql

from usercenter.db import Transaction
from usercenter.users.model import Role, Status, User
from usercenter.users.names import key_of

Sort = Literal["created_at", "-created_at", "username", "-username", "email", "-email"]
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)
_KEYS: Final[dict[str, sql.SQL]] = {
    "created_at": sql.SQL("created_at"),
    "username": sql.SQL('username_key collate "C"'),
    "email": sql.SQL('email_key collate "C"'),
}
_COLUMNS: Final = sql.SQL(", ").join(map(sql.Identifier, User.__struct_fields__))
_EXPORT_ROWS: Final = 1_000


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """Which users; without any filter all that are not deleted. Deleted ones are found by `status` alone."""

    status: Status | None = None
    role: Role | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    """Exclusive."""
    username: str | None = None
    """The beginning of the name."""
    email: str | None = None
    """The beginning of the address."""
    q: str | None = None
    """The beginning of the username, the address, the first or the last name."""


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A user's place in an order: the page after it begins behind this user, also when the user is gone by then."""

    key: str
    id: UUID


async def find_users(
    tx: Transaction,
    search: Search,
    *,
    sort: Sort,
    limit: int,
    after: Position | None = None,
    offset: int = 0,
) -> list[User]:
    """The users of one page; use either `after` or `offset`, which costs as much as the rows that it skips."""
    statement, values = page_statement(search, sort=sort, limit=limit, after=after, offset=offset)
    rows = await (await tx.connection.execute(statement, values)).fetchall()
    return [_user(row) for row in rows]


def position_of(user: User, sort: Sort) -> Position:
    """The place of a user in that order."""
    field = sort.removeprefix("-")
    key = user.created_at.isoformat() if field == "created_at" else key_of(getattr(user, field))
    return Position(key=key, id=user.id)


async def count_users(tx: Transaction, search: Search) -> int:
    """How many there are: reads every one of them."""
    statement = _select(sql.SQL("count(*)"), _conditions(search))
    row = await (await tx.connection.execute(statement, _values(search))).fetchone()
    return int(row[0]) if row else 0


async def each_user(tx: Transaction, search: Search) -> AsyncIterator[User]:
    """Every one of them, oldest first, as of one moment, by a cursor on the server; takes as long as its reader."""
    statement = sql.SQL("{} order by created_at, id").format(_select(_COLUMNS, _conditions(search)))
    async with tx.connection.cursor("export") as cursor:
        cursor.itersize = _EXPORT_ROWS
        await cursor.execute(statement, _values(search))
        async for row in cursor:
            yield _user(row)


def page_statement(
    search: Search, *, sort: Sort, limit: int, after: Position | None = None, offset: int = 0
) -> tuple[sql.Composed, dict[str, Any]]:
    """The statement of `find_users` with its parameters; a test looks at its plan."""
    conditions, values = _conditions(search), _values(search) | {"limit": limit, "offset": offset}
    if after is not None:
        conditions.append(_behind(sort))
        values |= {"after_key": after.key, "after_id": after.id}
    select = _select(_COLUMNS, conditions)
    return sql.SQL("{} order by {} limit %(limit)s offset %(offset)s").format(select, _order(sort)), values


def _select(what: sql.Composable, conditions: list[sql.Composable]) -> sql.Composed:
    return sql.SQL("select {} from users where {}").format(what, sql.SQL(" and ").join(conditions))


def _conditions(search: Search) -> list[sql.Composable]:
    given = [name for name in Search.__struct_fields__ if getattr(search, name) is not None]
    found: list[sql.Composable] = [_FILTERS[name] for name in given]
    return found if search.status else [sql.SQL("status <> 'deleted'"), *found]


def _values(search: Search) -> dict[str, Any]:
    found = {name: value for name, value in msgspec.structs.asdict(search).items() if value is not None}
    for name in ("username", "email", "q"):
        if name in found:
            found[name] = _prefix(key_of(found[name]))
    if search.q is not None:
        found["q_name"] = _prefix(search.q)
    return found


def _prefix(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def _order(sort: Sort) -> sql.Composed:
    direction = sql.SQL("desc" if sort.startswith("-") else "asc")
    return sql.SQL("{0} {1}, id {1}").format(_KEYS[sort.removeprefix("-")], direction)


def _behind(sort: Sort) -> sql.Composed:
    field = sort.removeprefix("-")
    kind = sql.SQL("timestamptz" if field == "created_at" else "text")
    comparison = sql.SQL("<" if sort.startswith("-") else ">")
    return sql.SQL("({}, id) {} (%(after_key)s::{}, %(after_id)s::uuid)").format(_KEYS[field], comparison, kind)


_FILTERS: Final[dict[str, sql.SQL]] = {
    "status": sql.SQL("status = %(status)s"),
    "role": sql.SQL("role = %(role)s"),
    "created_from": sql.SQL("created_at >= %(created_from)s"),
    "created_to": sql.SQL("created_at < %(created_to)s"),
    "username": sql.SQL('username_key collate "C" like %(username)s'),
    "email": sql.SQL('email_key collate "C" like %(email)s'),
    "q": sql.SQL(
        '(username_key collate "C" like %(q)s or email_key collate "C" like %(q)s '
        'or lower(first_name) collate "C" like lower(%(q_name)s) '
        'or lower(last_name) collate "C" like lower(%(q_name)s))'
    ),
}


def _user(row: tuple[Any, ...]) -> User:
    return User(**dict(zip(User.__struct_fields__, row, strict=True)))
