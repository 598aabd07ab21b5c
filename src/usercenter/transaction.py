"""An open transaction, as everybody but its edge sees it: statements, savepoints, and what to wake after the commit.

Who opens and commits it is `db.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

Parameters = Sequence[Any] | Mapping[str, Any] | None
IDLE_SECONDS: Final = 30
"""After so long between two statements PostgreSQL ends a transaction, unless it allows itself more."""


class Transaction:
    """An open transaction. Whoever gets one may read and write, and must not commit."""

    def __init__(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        self.connection = connection
        self._to_wake: set[str] = set()
        self._to_tell: set[UUID] = set()
        self._may_run_ahead = False
        self._under_way = AsyncExitStack()
        self._is_under_way = False

    async def execute(self, query: LiteralString, parameters: Parameters = None) -> psycopg.AsyncCursor[TupleRow]:
        """Run one statement."""
        return await self._run(query, parameters)

    async def fetch_one(self, query: LiteralString, parameters: Parameters = None) -> TupleRow | None:
        """The first row, or None."""
        return await (await self._run(query, parameters)).fetchone()

    async def fetch_all(self, query: LiteralString, parameters: Parameters = None) -> list[TupleRow]:
        """All rows."""
        return await (await self._run(query, parameters)).fetchall()

    async def send(self, query: LiteralString, parameters: Parameters = None) -> None:
        """Run one statement whose result nobody reads; inside `running_ahead` without waiting for its end."""
        if self._may_run_ahead and not self._is_under_way:
            self._is_under_way = True
            await self._under_way.enter_async_context(self.connection.pipeline())
        await self.connection.execute(query, parameters)

    @asynccontextmanager
    async def running_ahead(self) -> AsyncIterator[None]:
        """Inside, PostgreSQL works on what was sent while this process goes on; whatever reads waits for all before it.

        So an error may come out of a later statement, or of the end of the block: only where all of it is then undone.
        """
        self._may_run_ahead = True
        try:
            yield
            await self.catch_up()
        except BaseException as error:
            if self._is_under_way and isinstance(error, asyncio.CancelledError):
                await self.connection.cancel_safe()  # who cancels does not wait for what PostgreSQL may wait for
            with suppress(psycopg.Error):  # the first error counts
                await self.catch_up()
            raise
        finally:
            self._may_run_ahead = False

    async def catch_up(self) -> None:
        """Wait for what was sent. Raises what that raises."""
        if self._is_under_way:
            self._is_under_way = False
            await self._under_way.aclose()

    async def _run(self, query: LiteralString, parameters: Parameters) -> psycopg.AsyncCursor[TupleRow]:
        await self.catch_up()
        return await self.connection.execute(query, parameters)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What fails inside is undone, and the transaction goes on; wake-ups of the failed part are forgotten.

        Nothing runs ahead in it: its errors come out of it.
        """
        await self.catch_up()
        before, may_run_ahead = set(self._to_wake), self._may_run_ahead
        self._may_run_ahead = False
        try:
            async with self.connection.transaction():
                yield
        except BaseException:
            self._to_wake = before
            raise
        finally:
            self._may_run_ahead = may_run_ahead

    async def allow_pauses(self, seconds: float) -> None:
        """Let this transaction be idle for so long between two statements; without it PostgreSQL ends it after 30 s."""
        if seconds >= IDLE_SECONDS:
            milliseconds = str(int(seconds * 1000))
            await self.execute("select set_config('idle_in_transaction_session_timeout', %s, true)", (milliseconds,))

    def wake_after_commit(self, signal: str) -> None:
        """Set this signal of the database once the commit has succeeded."""
        self._to_wake.add(signal)

    def tell_after_commit(self, user_id: UUID) -> None:
        """Have everybody who keeps a copy of this user or of a session of theirs told, once the commit has succeeded.

        It may also be told for nothing: after a commit whose outcome is unknown, when a savepoint was undone, or when a
        statement that is a transaction by itself changed nothing.
        """
        self._to_tell.add(user_id)

    @property
    def to_tell(self) -> frozenset[UUID]:
        """The users of whom `Database.tell` will be told."""
        return frozenset(self._to_tell)

    @property
    def to_wake(self) -> frozenset[str]:
        """The signals that the commit will set."""
        return frozenset(self._to_wake)
