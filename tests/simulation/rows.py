"""Rows in memory under transactions: what is committed is seen, what another transaction holds is waited for."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from typing import Any

import psycopg

Row = dict[str, Any]
Key = tuple[str, Any]
DEADLOCK_SECONDS = 1.0


class Tables:
    """What is committed, and who holds which row."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.rows: dict[str, dict[Any, Row]] = defaultdict(dict)
        self.holders: dict[Key, Rows] = {}
        self.released = asyncio.Event()
        self.positions: dict[str, count[int]] = defaultdict(lambda: count(1))
        self.is_lane_ignored = False
        """A planted bug: a failed task holds nothing up, and a later one of its lane may be claimed."""
        self.is_set_gapped = False
        """A planted bug: a set takes tasks although an earlier one of their lane is parked."""
        self.is_inbox_apart = False
        """A planted bug: the inbox commits by itself, before the effects."""


class Cursor:
    """The answer to a statement."""

    def __init__(self, rows: list[tuple[Any, ...]], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    async def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows[0] if self._rows else None

    async def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows


class Rows:
    """The rows as one transaction sees and changes them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._writes: dict[Key, Row | None] = {}

    @asynccontextmanager
    async def transaction(self, *, force_rollback: bool = False) -> AsyncIterator[None]:
        """A savepoint."""
        before = dict(self._writes)
        try:
            yield
        except BaseException:
            self._writes = before
            raise
        if force_rollback:
            self._writes = before

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[None]:
        """Statements sent together; here they are as quick alone."""
        yield

    async def cancel_safe(self) -> None:
        """Nothing is under way: each statement has ended when it returns."""

    def commit(self) -> None:
        """Make it visible to all."""
        for (table, key), row in self._writes.items():
            if row is None:
                self._tables.rows[table].pop(key, None)
            else:
                self._tables.rows[table][key] = row
        self.end()

    def end(self) -> None:
        """Let go of every row; what is not committed is gone."""
        self._writes = {}
        mine = [key for key, holder in self._tables.holders.items() if holder is self]
        for key in mine:
            del self._tables.holders[key]
        self._tables.released.set()
        self._tables.released = asyncio.Event()

    @property
    def now(self) -> datetime:
        return self._tables.now()

    @property
    def tables(self) -> Tables:
        return self._tables

    def position(self, table: str) -> int:
        """The next of the table's own sequence; never given back."""
        return next(self._tables.positions[table])

    def visible(self, table: str) -> dict[Any, Row]:
        """What this transaction sees."""
        rows = dict(self._tables.rows[table])
        for (name, key), row in self._writes.items():
            if name == table:
                if row is None:
                    rows.pop(key, None)
                else:
                    rows[key] = row
        return rows

    def is_held_by_another(self, table: str, key: Any) -> bool:
        return self._tables.holders.get((table, key), self) is not self

    async def lock(self, table: str, key: Any, *, patience_seconds: float = DEADLOCK_SECONDS) -> Row | None:
        """Hold the row, or the place for it; returns what it is now. Raises DeadlockDetected."""
        deadline = asyncio.get_running_loop().time() + patience_seconds
        while self.is_held_by_another(table, key):
            try:
                async with asyncio.timeout_at(deadline):
                    await self._tables.released.wait()
            except TimeoutError:
                raise psycopg.errors.DeadlockDetected("simulated") from None
        self._tables.holders[table, key] = self
        if (table, key) in self._writes:
            return self._writes[table, key]
        return self._tables.rows[table].get(key)

    def put(self, table: str, key: Any, row: Row) -> None:
        self._writes[table, key] = row

    def drop(self, table: str, key: Any) -> None:
        self._writes[table, key] = None

    async def change(self, table: str, keys: Iterable[Any], change: Callable[[Row], Row | None]) -> list[Row]:
        """Change or (None) delete those rows that are there when their lock is ours; `change` may refuse by `...`."""
        changed = []
        for key in dict.fromkeys(keys):
            row = await self.lock(table, key)
            if row is None:
                continue
            new: Any = change(row)
            if new is ...:
                continue
            if new is None:
                self.drop(table, key)
            else:
                self.put(table, key, new)
            changed.append(new or row)
        return changed
