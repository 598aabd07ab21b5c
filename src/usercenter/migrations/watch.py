"""Whether the schema is the one that this code needs, for a service that does not wait for PostgreSQL."""

import asyncio
from typing import Final

import structlog
from psycopg.errors import UndefinedTable

from usercenter import migrations
from usercenter.db import TRANSIENT, Database, DatabaseUnavailable

log = structlog.get_logger()

_AGAIN_AFTER_SECONDS: Final = 1.0
_NOT_SEEN: Final = "the schema cannot be looked at: PostgreSQL is not there"


class SchemaWatch:
    """Looks at the schema of one database until it will do."""

    def __init__(self, database: Database) -> None:
        self.problem: str | None = "the schema has not been looked at yet"
        """Why nothing can work with the tables yet, and what to do."""
        self._database = database

    async def until_fit(self) -> None:
        """Look again and again; returns once the schema is this code's own, or a later one."""
        while True:
            try:
                found = await self._revision()
            except (DatabaseUnavailable, *TRANSIENT):
                if self._is_new(_NOT_SEEN):
                    log.warning("service.database_unavailable", meanwhile="nothing that needs the tables has begun")
            else:
                if self._is_fit(found):
                    return
            await asyncio.sleep(_AGAIN_AFTER_SECONDS)

    async def _revision(self) -> str | None:
        try:
            async with self._database.reading() as tx:
                row = await tx.fetch_one(migrations.REVISION)
        except UndefinedTable:
            return None
        return str(row[0]) if row else None

    def _is_fit(self, found: str | None) -> bool:
        needed = migrations.head()
        if found == needed or migrations.is_ahead(found):
            self.problem = None
            log.info("service.schema_found", found=found, needed=needed)
            return True
        if self._is_new(f"the schema is {found or 'empty'}, not {needed}: run `usercenter db upgrade`"):
            log.error("service.schema_unfit", found=found, needed=needed, next="usercenter db upgrade")
        return False

    def _is_new(self, problem: str) -> bool:
        """Whether it was not found at the look before, and so is to be said."""
        before, self.problem = self.problem, problem
        return problem != before
