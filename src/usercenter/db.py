"""PostgreSQL: the pool, the transaction, and what its errors mean.

Application code never commits: a request, a batch or a task is one `Database.transaction()`, opened and committed at
the edge. What has to be told to others after the commit (wake the relay, wake the task runner) is said with
`Transaction.wake_after_commit` and happens only if the commit did.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from usercenter.config.model import Database as Settings
from usercenter.points import reached

Parameters = Sequence[Any] | Mapping[str, Any] | None

_LOST_WITH_THE_TRANSACTION = (
    psycopg.errors.IdleInTransactionSessionTimeout,  # this process was frozen, or very busy, in a transaction
    psycopg.errors.TransactionTimeout,
    psycopg.errors.ReadOnlySqlTransaction,  # a failover: this server is the standby now
)
TRANSIENT = (
    psycopg.OperationalError,  # connection lost, server going down, deadlock, serialisation failure, disk full …
    psycopg.InterfaceError,  # the connection object is of no use any more
    PoolTimeout,
    *_LOST_WITH_THE_TRANSACTION,
)
"""Errors after which the same work may succeed later: they say nothing about the data."""

_CONNECTION: Final = {
    "application_name": "usercenter",
    "connect_timeout": "5",
    # a server that is gone without a word is noticed within half a minute, not after hours
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
"""What a connection is asked for where `database.url` says nothing else."""
_IDLE_IN_TRANSACTION_SECONDS: Final = 30


class DatabaseUnavailable(Exception):
    """PostgreSQL cannot be reached, or no connection became free in time. Nothing was stored; try again."""


class Signal:
    """A wake-up inside this process: setting it twice wakes once, and none is lost between two waits."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake who waits, or the next one who does."""
        self._event.set()

    async def wait(self, timeout_seconds: float) -> bool:
        """Wait until it is set, at most so long; says whether it was set, and clears it."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Transaction:
    """An open transaction. Whoever gets one may read and write, and must not commit."""

    def __init__(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        self.connection = connection
        self._to_wake: set[str] = set()

    async def execute(self, query: LiteralString, parameters: Parameters = None) -> psycopg.AsyncCursor[TupleRow]:
        """Run one statement."""
        return await self.connection.execute(query, parameters)

    async def fetch_one(self, query: LiteralString, parameters: Parameters = None) -> TupleRow | None:
        """The first row, or None."""
        return await (await self.connection.execute(query, parameters)).fetchone()

    async def fetch_all(self, query: LiteralString, parameters: Parameters = None) -> list[TupleRow]:
        """All rows."""
        return await (await self.connection.execute(query, parameters)).fetchall()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What fails inside is undone, and the transaction goes on; wake-ups of the failed part are forgotten."""
        before = set(self._to_wake)
        try:
            async with self.connection.transaction():
                yield
        except BaseException:
            self._to_wake = before
            raise

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Statements in the block whose results nobody reads go to PostgreSQL in one trip; errors come at its end."""
        async with self.connection.pipeline():
            yield

    async def allow_pauses(self, seconds: float) -> None:
        """Let this transaction be idle for so long between two statements; without it PostgreSQL ends it after 30 s."""
        if seconds >= _IDLE_IN_TRANSACTION_SECONDS:
            milliseconds = str(int(seconds * 1000))
            await self.execute("select set_config('idle_in_transaction_session_timeout', %s, true)", (milliseconds,))

    def wake_after_commit(self, signal: str) -> None:
        """Set this signal of the database once the commit has succeeded."""
        self._to_wake.add(signal)

    @property
    def to_wake(self) -> frozenset[str]:
        """The signals that the commit will set."""
        return frozenset(self._to_wake)


class Database:
    """A pool of connections to one PostgreSQL, and the signals of this process about it."""

    def __init__(self, settings: Settings) -> None:
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]] = AsyncConnectionPool(
            make_conninfo("", **(_CONNECTION | conninfo_to_dict(settings.url))),
            min_size=settings.pool_min,
            max_size=settings.pool_max,
            timeout=settings.pool_timeout_seconds,
            reconnect_timeout=3,  # tries have growing pauses within it; the next who asks begins anew
            open=False,
            name="usercenter",
            configure=_configure,
            kwargs={"autocommit": True},
        )
        self._signals: dict[str, Signal] = {}
        self._checking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the pool; does not wait for PostgreSQL, which may come later."""
        await self._pool.open()

    async def close(self) -> None:
        """Give back every connection. May be called twice."""
        if self._checking is not None:
            self._checking.cancel()
        await self._pool.close()

    def signal(self, name: str) -> Signal:
        """The wake-up of that name, the same object each time."""
        return self._signals.setdefault(name, Signal())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction, committed at the end of the block and rolled back if the block raises.

        Raises DatabaseUnavailable when no connection can be had, or when the connection is lost on the way; in the
        second case the outcome of a commit already under way is unknown.
        """
        async with self._connection() as connection:
            async with connection.transaction():
                tx = Transaction(connection)
                yield tx
            if tx.to_wake:
                reached("outbox.committed")
            for name in tx.to_wake:
                self.signal(name).set()

    async def run_alone(self, query: LiteralString, parameters: Parameters = None) -> list[TupleRow]:
        """One statement that is a transaction of its own, and its rows: one trip to PostgreSQL instead of three.

        Raises as `transaction` does.
        """
        async with self._connection() as connection:
            return await (await connection.execute(query, parameters)).fetchall()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
        task = asyncio.current_task()
        cancellations = task.cancelling() if task else 0
        try:
            async with self._pool.connection() as connection:
                if task and task.cancelling() > cancellations:
                    raise asyncio.CancelledError  # Python 3.11's wait_for, in the pool, may swallow it on the hand-over
                yield connection
        except PoolTimeout as error:
            raise DatabaseUnavailable(
                "PostgreSQL gave no connection in time; see /health and `database.url`"
            ) from error
        except TRANSIENT as error:
            if is_lost(error):
                self._check_the_others()
                raise DatabaseUnavailable(f"PostgreSQL is not there: {_first_line(error)}") from error
            raise

    def _check_the_others(self) -> None:
        """One connection is lost: find out which others of the pool are, before somebody meets each of them."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._pool.check(), name="database.check")

    async def is_reachable(self) -> bool:
        """Whether a statement can be run right now."""
        try:
            async with self.transaction() as tx:
                await tx.execute("select 1")
        except (DatabaseUnavailable, *TRANSIENT):
            return False
        return True

    async def server_version(self) -> str:
        """PostgreSQL's own version. Raises DatabaseUnavailable."""
        async with self.transaction() as tx:
            row = await tx.fetch_one("show server_version")
        return str(row[0]) if row else ""


async def _configure(connection: psycopg.AsyncConnection[TupleRow]) -> None:
    """A process that stops in the middle of a transaction must not keep its locks from the others."""
    await connection.execute(f"set idle_in_transaction_session_timeout = '{_IDLE_IN_TRANSACTION_SECONDS}s'")


def is_lost(error: BaseException) -> bool:
    """Whether the connection or its transaction is gone, or the server refuses work (SQLSTATE classes 08, 53, 57)."""
    if isinstance(error, (psycopg.InterfaceError, PoolTimeout, *_LOST_WITH_THE_TRANSACTION)):
        return True
    state = getattr(error, "sqlstate", None)
    return isinstance(error, psycopg.OperationalError) and (state is None or state[:2] in {"08", "53", "57"})


def is_transient(error: BaseException) -> bool:
    """Whether the same work may simply be repeated. What is too large for PostgreSQL (class 54) will stay too large."""
    if (getattr(error, "sqlstate", None) or "").startswith("54"):
        return False
    return isinstance(error, (DatabaseUnavailable, *TRANSIENT))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [error.__class__.__name__])[0]
