"""The schema, as a row of numbered steps that Alembic applies.

Everything here is synchronous and meant for the command and the start of an embedded service, never for a request.
"""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, NullPool, create_engine, text

_LOCK: Final = 0x75736572  # "user": two processes never migrate at once


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring the schema up to this version of the code; returns the revision before and after.

    Blocks; waits for another process that is migrating; does nothing when the schema is current. Raises SQLAlchemy's
    OperationalError when PostgreSQL cannot be reached.
    """
    with _engine(url).begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = MigrationContext.configure(connection).get_current_revision()
        command.upgrade(_config(connection), "head")
    return before, head()


def current(url: str) -> str | None:
    """The revision of the database, None for an empty one. Blocks."""
    with _engine(url).connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """The revision that this code needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _engine(url: str) -> Engine:
    """An engine that keeps no connection behind."""
    return create_engine("postgresql+psycopg://" + url.partition("://")[2], poolclass=NullPool)
