"""The schema, as a row of numbered steps that Alembic applies.

Everything here is synchronous and meant for the command and the start of an embedded service, never for a request.

A step only adds (tables, columns with a default, indexes), so that the version of the code before it works on: first
the schema is brought up, then the processes are replaced one by one.
"""

import time
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

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
    """The revision of the database, None for an empty one. Blocks."""
    with _engine(url).connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """The revision that this code needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def is_ahead(revision: str | None) -> bool:
    """Whether a later version of the code has made this revision; what it added does not disturb this one."""
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return revision is not None and revision not in known


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _engine(url: str) -> Engine:
    """An engine that keeps no connection behind."""
    return create_engine("postgresql+psycopg://" + url.partition("://")[2], poolclass=NullPool)
