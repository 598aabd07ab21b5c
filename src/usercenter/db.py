"""PostgreSQL: the pool, the transaction, and what its errors mean.

Application code never commits: a request, a batch or a task is one `Database.transaction()`, opened and committed at
the edge; what is one statement is a transaction by itself (`Database.at_once`, `run_alone`, `reading`). What has to be
told to others after the commit (wake the relay, wake the task runner) is said with `Transaction.wake_after_commit` and
happens only if the commit did.
"""

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final, LiteralString, TypeVar
from uuid import UUID

import psycopg
import structlog
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from usercenter.columns import Column
from usercenter.config.model import Database as Settings
from usercenter.points import reached
from usercenter.transaction import IDLE_SECONDS, Parameters, Transaction

__all__ = [
    "SCHEMA_UNFIT",
    "TRANSIENT",
    "Database",
    "DatabaseUnavailable",
    "OutcomeUnknown",
    "Parameters",
    "Signal",
    "Transaction",
    "first_line",
    "is_cancelled",
    "is_lost",
    "is_transient",
]

log = structlog.get_logger()

T = TypeVar("T")

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
SCHEMA_UNFIT = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)
"""Errors of code that has met an older schema than its own, or none."""

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


class DatabaseUnavailable(Exception):
    """PostgreSQL cannot be reached, gives no answer or has no room, or no connection became free in time.

    Nothing was stored, unless it is an OutcomeUnknown; try again.
    """


class OutcomeUnknown(DatabaseUnavailable):
    """The connection was lost between COMMIT, or what commits itself, and its answer: all was stored, or nothing.

    What is repeated afterwards must bear to be done twice: an inbox, an Idempotency-Key, a delete by key.
    """


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


class _Connection(psycopg.AsyncConnection[TupleRow]):
    """A connection that is given up when the server says nothing for too long.

    A server that is frozen, or behind a network that swallows bytes, keeps its connections open: no error ever comes,
    and keepalives are answered by its kernel or by what stands between.
    """

    patience_seconds = 30.0
    is_committing = False
    """Whether what is waited for may store something: an answer that does not come leaves that open."""

    async def wait(  # the signature is psycopg's
        self,
        gen: PQGen[T],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> T:
        """Everything that psycopg waits for goes through here."""
        timer = asyncio.get_running_loop().call_later(self.patience_seconds, self._hang_up)
        try:
            return await super().wait(gen, interval, timeout)
        finally:
            timer.cancel()

    def hear(self) -> None:
        """Take in what the server said while nobody asked. Raises OperationalError if it has closed the connection.

        Without it the next statement would find that out, and nobody could say whether it was done.
        """
        line = select.poll()
        line.register(self.pgconn.socket, select.POLLIN)
        while line.poll(0):
            self.pgconn.consume_input()

    def _hang_up(self) -> None:
        """End it below psycopg, which then sees that the server has gone: an OperationalError where it waits."""
        log.error("database.no_answer", seconds=self.patience_seconds, next="the connection is given up; see /health")
        with socket.socket(fileno=os.dup(self.pgconn.socket)) as line:
            line.shutdown(socket.SHUT_RDWR)


class Database:
    """A pool of connections to one PostgreSQL, and the signals of this process about it."""

    def __init__(self, settings: Settings) -> None:
        self._patience_seconds = float(settings.answer_timeout_seconds)
        self._pool: AsyncConnectionPool[_Connection] = AsyncConnectionPool(
            make_conninfo("", **(_CONNECTION | conninfo_to_dict(settings.url))),
            connection_class=_Connection,
            min_size=settings.pool_min,
            max_size=settings.pool_max,
            timeout=settings.pool_timeout_seconds,
            reconnect_timeout=3,  # tries have growing pauses within it; the next who asks begins anew
            open=False,
            name="usercenter",
            configure=self._configure,
            kwargs={"autocommit": True, "prepare_threshold": 1},  # the pool goes round: 5 would be many
        )
        self._signals: dict[str, Signal] = {}
        self._renewing: asyncio.Task[None] | None = None
        self.tell: Callable[[Collection[UUID]], Awaitable[None]] | None = None
        """What is told the users of `Transaction.tell_after_commit`, before `transaction` ends; must not raise."""

    async def open(self) -> None:
        """Start the pool; does not wait for PostgreSQL, which may come later."""
        await self._pool.open()

    async def close(self) -> None:
        """Give back every connection. May be called twice."""
        if self._renewing is not None:
            self._renewing.cancel()
        await self._pool.close()

    def signal(self, name: str) -> Signal:
        """The wake-up of that name, the same object each time."""
        return self._signals.setdefault(name, Signal())

    @asynccontextmanager
    async def transaction(self, *, patience_seconds: float | None = None) -> AsyncIterator[Transaction]:
        """One transaction, committed at the end of the block and rolled back if the block raises.

        `patience_seconds`: how long each statement may go without an answer, where it is not `answer_timeout_seconds`.

        Raises DatabaseUnavailable when no connection can be had, or when the connection is lost on the way;
        OutcomeUnknown when it is lost with the commit under way.
        """
        to_tell: frozenset[UUID] = frozenset()
        try:
            async with self._connection(patience_seconds) as connection:
                async with connection.transaction():
                    tx = Transaction(connection)
                    yield tx
                    if tx.to_wake:
                        reached("outbox.added")
                    connection.is_committing, to_tell = True, tx.to_tell
                connection.is_committing = False
                self._wake(tx)
        finally:
            if to_tell and self.tell:
                await self.tell(to_tell)

    @asynccontextmanager
    async def at_once(self) -> AsyncIterator[Transaction]:
        """For one statement that changes: it is a transaction of its own, in one trip to PostgreSQL instead of three.

        It is committed when it returns, not at the end of the block; a second statement would be another transaction.
        Whom the transaction wakes and tells, and what this raises, is as with `transaction`.
        """
        tx: Transaction | None = None
        try:
            async with self._connection() as connection:
                connection.is_committing = True
                tx = Transaction(connection)
                yield tx
                self._wake(tx)
        finally:
            if tx and tx.to_tell and self.tell:
                await self.tell(tx.to_tell)

    def _wake(self, tx: Transaction) -> None:
        if tx.to_wake:
            reached("outbox.committed")
        for name in tx.to_wake:
            self.signal(name).set()

    async def run_alone(self, query: LiteralString, parameters: Parameters = None) -> list[TupleRow]:
        """One statement that is a transaction of its own, and its rows: one trip to PostgreSQL instead of three.

        Raises as `transaction` does.
        """
        async with self._connection() as connection:
            connection.is_committing = True
            cursor = await connection.execute(query, parameters, binary=True)
            return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """For one statement that reads: it is a transaction of its own, in one trip to PostgreSQL instead of three.

        Raises DatabaseUnavailable as `transaction` does; nothing is stored, so no outcome is unknown.
        """
        async with self._connection() as connection:
            yield Transaction(connection)

    @asynccontextmanager
    async def _connection(self, patience_seconds: float | None = None) -> AsyncIterator[_Connection]:
        task = asyncio.current_task()
        cancellations = task.cancelling() if task else 0
        connection: _Connection | None = None
        try:
            async with self._pool.connection() as connection:
                if task and task.cancelling() > cancellations:
                    raise asyncio.CancelledError  # Python 3.11's wait_for, in the pool, may swallow it on the hand-over
                connection.patience_seconds = patience_seconds or self._patience_seconds
                connection.is_committing = False
                connection.hear()
                yield connection
        except PoolTimeout as error:
            raise DatabaseUnavailable(
                "PostgreSQL gave no connection in time; see /health and `database.url`"
            ) from error
        except TRANSIENT as error:
            if connection is not None and connection.closed:
                self._renew_the_others()
                if connection.is_committing:
                    raise OutcomeUnknown(f"the commit has no answer: {first_line(error)}") from error
            if is_lost(error):
                raise DatabaseUnavailable(f"PostgreSQL is not there: {first_line(error)}") from error
            raise

    def _renew_the_others(self) -> None:
        """One connection is lost: have new ones for all that lie idle, before somebody meets each of them.

        They are not asked whether they are well: what a network swallowed would keep each question waiting.
        """
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._pool.drain(), name="database.renew")

    async def _configure(self, connection: _Connection) -> None:
        """A process that stops in the middle of a transaction must not keep its locks from the others."""
        connection.patience_seconds = self._patience_seconds
        connection.adapters.register_dumper(list, Column)
        await connection.execute(f"set idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")

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


def is_lost(error: BaseException) -> bool:
    """Whether the connection or its transaction is gone, or the server refuses work (SQLSTATE classes 08, 53, 57)."""
    if is_cancelled(error):
        return False
    if isinstance(error, (psycopg.InterfaceError, PoolTimeout, *_LOST_WITH_THE_TRANSACTION)):
        return True
    state = getattr(error, "sqlstate", None)
    return isinstance(error, psycopg.OperationalError) and (state is None or state[:2] in {"08", "53", "57"})


def is_cancelled(error: BaseException) -> bool:
    """Whether PostgreSQL ended the statement: its time was over (`statement_timeout`), or somebody ended it by hand."""
    return isinstance(error, psycopg.errors.QueryCanceled)


def is_transient(error: BaseException) -> bool:
    """Whether the same work may simply be repeated. What is too large for PostgreSQL (class 54) will stay too large."""
    if (getattr(error, "sqlstate", None) or "").startswith("54") or isinstance(error, psycopg.errors.PipelineAborted):
        return False  # the last one says only that a statement before it has failed
    return isinstance(error, (DatabaseUnavailable, *TRANSIENT))


def first_line(error: BaseException) -> str:
    """What an error says, without PostgreSQL's further lines; its class where it says nothing."""
    return (str(error).strip().splitlines() or [error.__class__.__name__])[0]
