"""The schema, as a row of numbered steps that Alembic applies.

Everything here is synchronous and meant for the command and the start of an embedded service, never for a request.
Alembic and SQLAlchemy are imported by what applies steps alone: a service only asks which step was the last one, and
would carry 25 MB of them for that.

A step only adds (tables, columns with a default, indexes), so that the version of the code before it works on: first
the schema is brought up, then the processes are replaced one by one.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.errors import LockNotAvailable, UndefinedTable

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection, Engine

REVISION: Final = "select version_num from alembic_version"
"""The question which step was the last one; an UndefinedTable says that there was none."""
_LOCK: Final = 0x75736572  # "user": two processes never migrate at once
_LOCK_ATTEMPTS: Final = 30


class SchemaAhead(Exception):
    """The database was migrated by a later version of the code, which this one cannot take back."""


def upgrade(url: str, *, to: str = "head", lock_seconds: float = 2.0) -> tuple[str | None, str]:
    """Bring the schema up to this version of the code; returns the revision before and after.

    Blocks; waits for another process that is migrating; does nothing when the schema is current. A table that somebody
    holds is waited for `lock_seconds` at a time, for everybody else waits behind us meanwhile. Raises SchemaAhead, and
    SQLAlchemy's OperationalError when PostgreSQL cannot be reached or a table is not let go.
    """
    from sqlalchemy.exc import OperationalError

    for _ in range(_LOCK_ATTEMPTS - 1):
        try:
            return _upgrade(url, to, lock_seconds)
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
        time.sleep(lock_seconds)
    return _upgrade(url, to, lock_seconds)


def _upgrade(url: str, to: str, lock_seconds: float) -> tuple[str | None, str]:
    """All steps in one transaction."""
    from alembic import command
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import text

    with _engine(url).begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = MigrationContext.configure(connection).get_current_revision()
        if is_ahead(before):
            raise SchemaAhead(
                f"the schema is {before}, made by a later version: this one needs {head()} and can use it"
            )
        connection.execute(text(f"set local lock_timeout = {int(lock_seconds * 1000)}"))
        command.upgrade(_config(connection), to)
        return before, MigrationContext.configure(connection).get_current_revision() or ""


def current(url: str) -> str | None:
    """The revision of the database, None for an empty one. Blocks. Raises psycopg.OperationalError."""
    try:
        with psycopg.connect(url) as connection:
            found = connection.execute(REVISION).fetchone()
    except UndefinedTable:
        return None
    return str(found[0]) if found else None


def head() -> str:
    """The revision that this code needs."""
    return max(_revisions())


def is_ahead(revision: str | None) -> bool:
    """Whether a later version of the code has made this revision; what it added does not disturb this one."""
    return revision is not None and revision not in _revisions()


def _revisions() -> set[str]:
    """Those that this code has: the numbers that the files of the steps begin with."""
    return {path.name.partition("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*_*.py")}


def _config(connection: "Connection") -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _engine(url: str) -> "Engine":
    """An engine that keeps no connection behind."""
    from sqlalchemy import NullPool, create_engine

    return create_engine("postgresql+psycopg://" + url.partition("://")[2], poolclass=NullPool)
