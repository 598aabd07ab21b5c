"""The statements of bulk imports. None of them commits."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from usercenter.db import Transaction
from usercenter.users import names
from usercenter.users.errors import Problem, UserError
from usercenter.users.import_records import Format, Record
from usercenter.users.model import User


class ImportNotFound(UserError):
    """There is no import with this id."""


class ImportConflict(UserError):
    """The import with this id is of another file, or another process works on it."""


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """How far an import is. `finished_at` is None while it runs, and for ever when it was broken off."""

    id: UUID
    started_by: str
    started_at: datetime
    finished_at: datetime | None
    format: Format
    has_welcome: bool
    lines_read: int
    accepted: int
    refused: int


class Refusal(msgspec.Struct, frozen=True):
    """Why the record on this line made no account."""

    line: int
    field: str
    message: str


class Ready(msgspec.Struct, frozen=True):
    """A record that follows every rule, in the form of the table."""

    line: int
    user: User
    password_hash: str


_COLUMNS: Final = ", ".join(Import.__struct_fields__)


async def find_import(tx: Transaction, import_id: UUID) -> Import:
    """How far an import is. Raises ImportNotFound."""
    row = await tx.fetch_one(f"select {_COLUMNS} from imports where id = %s", (import_id,))
    if row is None:
        raise ImportNotFound("there is no import with this id")
    return _import(row)


async def errors_of(tx: Transaction, import_id: UUID, *, after_line: int = 0, limit: int = 1_000) -> list[Refusal]:
    """The refused records behind that line, in the order of the file."""
    rows = await tx.fetch_all(
        "select line, field, message from import_errors where import_id = %s and line > %s "
        "order by line, field limit %s",
        (import_id, after_line, limit),
    )
    return [Refusal(*row) for row in rows]


async def begin(
    tx: Transaction, import_id: UUID, kind: Format, *, has_welcome: bool, started_by: str, now: datetime
) -> tuple[Import, bytes]:
    """The import with this id, new where there was none, and the digest of what it read. Raises ImportConflict."""
    await tx.execute(
        "insert into imports (id, started_by, started_at, format, has_welcome) values (%s, %s, %s, %s, %s) "
        "on conflict do nothing",
        (import_id, started_by, now, kind, has_welcome),
    )
    row = await tx.fetch_one(f"select {_COLUMNS}, digest from imports where id = %s", (import_id,))
    if row is None:
        raise ImportNotFound("there is no import with this id")
    state = _import(row[:-1])
    if (state.format, state.has_welcome) != (kind, has_welcome):
        raise ImportConflict("this import was begun with another format or another choice of welcome")
    return state, bytes(row[-1])


async def lock(tx: Transaction, state: Import) -> None:
    """Be the only one who works on it. Raises ImportConflict when another process went on meanwhile."""
    row = await tx.fetch_one("select lines_read from imports where id = %s for update", (state.id,))
    if row is None or row[0] != state.lines_read:
        raise ImportConflict("another process goes on with this import")


async def insert(tx: Transaction, ready: list[Ready]) -> set[UUID]:
    """Open the accounts whose name and address are free, in the order of the file; returns their ids."""
    await tx.execute(_TABLE)
    async with tx.connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for each in ready:
            user = each.user
            await copy.write_row(
                (each.line, user.id, user.username, names.key_of(user.username), user.email, names.key_of(user.email),
                 each.password_hash, user.first_name, user.last_name, user.phone, user.locale, user.created_at)
            )  # fmt: skip
    return {row[0] for row in await tx.fetch_all(_INSERT)}


async def taken(tx: Transaction, left: list[Ready]) -> list[tuple[int, Problem]]:
    """Why these accounts were not opened."""
    rows = await tx.fetch_all(_TAKEN, ([each.user.id for each in left],))
    return [
        (line, Problem(field, "taken", f"another account has this {field}"))
        for line, is_username, is_email in rows
        for field, is_taken in (("username", is_username), ("email", is_email))
        if is_taken
    ]


async def keep_errors(tx: Transaction, import_id: UUID, refused: list[tuple[int, Problem]]) -> None:
    """Keep why records made no account, each with its line."""
    await tx.execute(
        "insert into import_errors (import_id, line, field, message) "
        "select %s, * from unnest(%s::bigint[], %s::text[], %s::text[]) on conflict do nothing",
        (
            import_id,
            [line for line, _ in refused],
            [problem.field.replace("\x00", "") for _, problem in refused],
            [problem.message.replace("\x00", "") for _, problem in refused],
        ),
    )


async def advance(tx: Transaction, state: Import, batch: list[Record], digest: bytes, *, accepted: int) -> Import:
    """Note that the file is read to the end of this batch."""
    row = await tx.fetch_one(
        "update imports set lines_read = %s, digest = %s, accepted = accepted + %s, refused = refused + %s "
        f"where id = %s returning {_COLUMNS}",
        (batch[-1].last_line, digest, accepted, len(batch) - accepted, state.id),
    )
    return _import(row)


async def finish(tx: Transaction, import_id: UUID, now: datetime) -> Import:
    """Note that the file is read to its end. May be called twice."""
    row = await tx.fetch_one(
        f"update imports set finished_at = coalesce(finished_at, %s) where id = %s returning {_COLUMNS}",
        (now, import_id),
    )
    return _import(row)


def _import(row: Any) -> Import:
    return Import(**dict(zip(Import.__struct_fields__, row, strict=True)))


_TABLE: Final = """
create temp table import_rows (
    line bigint, id uuid, username text, username_key text, email text, email_key text, password_hash text,
    first_name text, last_name text, phone text, locale text, created_at timestamptz
) on commit drop
"""
_COPY: Final = "copy import_rows from stdin"
_INSERT: Final = """
insert into users (id, username, username_key, email, email_key, password_hash, first_name, last_name, phone, locale,
    sequence, created_at, updated_at)
select id, username, username_key, email, email_key, password_hash, first_name, last_name, phone, locale,
    1, created_at, created_at from import_rows order by line
on conflict do nothing returning id
"""
_TAKEN: Final = """
select r.line, exists (select 1 from users u where u.username_key = r.username_key),
    exists (select 1 from users u where u.email_key = r.email_key)
from import_rows r where r.id = any(%s::uuid[]) order by 1
"""
