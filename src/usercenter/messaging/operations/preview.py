"""Redrive without doing it: what would come of each letter with today's code, in a transaction that is rolled back.

Record handlers run for real, in the order of the lanes, so a later letter meets the effect of an earlier one. Outside
handlers cannot be tried: of their letters is said that they would be called.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NoReturn

import msgspec

from usercenter.db import Database, Transaction, is_transient
from usercenter.events import Event, Undecodable
from usercenter.events.masking import masked_text
from usercenter.messaging.calls import call
from usercenter.messaging.fingerprints import fingerprint
from usercenter.messaging.groups import Handler, Record
from usercenter.messaging.operations import letter_queries
from usercenter.messaging.operations.letter_queries import Letter
from usercenter.messaging.operations.letters import Reasons, Refusal, chunks
from usercenter.messaging.operations.returns import DECODE, RELAY, Kept, Refused, Returns, check_kept
from usercenter.messaging.operations.selection import Selection
from usercenter.messaging.reasons import describe

_AT_ONCE: Final = 20
"""Letters of one transaction, which holds the locks of what their handlers change."""
_TRIES: Final = 5


class StillFails(msgspec.Struct, frozen=True, kw_only=True):
    """Letters that would die of the same again."""

    handler: str
    event_type: str | None
    error: str
    """Without personal data."""
    count: int
    example: int


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a redrive would do."""

    looked_at: int
    passes: int
    """Record handlers that ran without an error, and changed something."""
    applied: int
    """Nothing is left: the handler ran and changed nothing, or another letter of the same was retried and passed."""
    called: int
    """Outside handlers, which cannot be tried."""
    sent: int
    """Messages for Kafka, which cannot be tried."""
    still_fails: list[StillFails]
    refused: list[Refusal]


Cause = tuple[str, str | None, str]
"""Handler, type of the event, fingerprint of the error."""


class _Undo(Exception):
    """Takes a transaction back that did what it should."""


class _Counts:
    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.failures: Counter[Cause] = Counter()
        self.examples: dict[Cause, tuple[int, str]] = {}
        """A letter, and what its handler said."""
        self.refused = Reasons()

    def fail(self, letter: Letter, event_type: str | None, handler: str, error: Exception) -> None:
        cause = handler, event_type, fingerprint(error)
        self.failures[cause] += 1
        self.examples.setdefault(cause, (letter.id, masked_text(describe(error), letter.value)))

    def add(self, other: "_Counts") -> None:
        self.verdicts += other.verdicts
        self.failures += other.failures
        self.examples = other.examples | self.examples
        self.refused.join(other.refused)


async def preview(database: Database, selection: Selection, *, returns: Returns) -> Forecast:
    """Say what would come of every open letter of a selection; changes nothing."""
    async with database.transaction() as tx:
        ids = await letter_queries.ids(tx, selection)
    total = _Counts()
    for some in chunks(ids, _AT_ONCE):
        total.add(await _patiently(database, some, returns))
    failures = [_still_fails(cause, number, total.examples[cause]) for cause, number in total.failures.most_common()]
    verdicts = {name: total.verdicts[name] for name in ("passes", "applied", "called", "sent")}
    return Forecast(looked_at=len(ids), **verdicts, still_fails=failures, refused=total.refused.all())


def _still_fails(cause: Cause, number: int, example: tuple[int, str]) -> StillFails:
    handler, event_type, _ = cause
    return StillFails(handler=handler, event_type=event_type, error=example[1], count=number, example=example[0])


async def _patiently(database: Database, ids: Sequence[int], returns: Returns) -> _Counts:
    """Again, when it got in the way of others' locks."""
    for tries_left in reversed(range(_TRIES)):
        try:
            return await _try(database, ids, returns)
        except Exception as error:
            if not is_transient(error) or not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


async def _try(database: Database, ids: Sequence[int], returns: Returns) -> _Counts:
    counts = _Counts()
    try:
        async with database.transaction() as tx:
            letters = await letter_queries.read(tx, ids)
            done = await letter_queries.passed_since(tx, [letter.id for letter in letters])
            for letter in letters:
                if letter.id in done:
                    counts.verdicts["applied"] += 1
                else:
                    await _Trial(tx, letter, returns, counts).run()
            _take_back()
    except _Undo:
        return counts


def _take_back() -> NoReturn:
    raise _Undo


class _Trial:
    """One letter, tried."""

    def __init__(self, tx: Transaction, letter: Letter, returns: Returns, counts: _Counts) -> None:
        self._tx = tx
        self._letter = letter
        self._returns = returns
        self._counts = counts

    async def run(self) -> None:
        """Try it, and count what came of it."""
        try:
            verdict = await self._verdict()
        except Refused as refused:
            self._counts.refused.add(Kept(self._letter, str(refused)))
        else:
            if verdict is not None:
                self._counts.verdicts[verdict] += 1

    async def _verdict(self) -> str | None:
        """None when a failure is counted."""
        letter = self._letter
        check_kept(letter)
        if letter.handler == RELAY:
            self._returns.message_of(letter)
            return "sent"
        if letter.handler == DECODE:
            return await self._undecodable()
        event = self._returns.event_of(letter)
        if event is None:
            unreadable = Undecodable("today's code cannot read the event")
            self._counts.fail(letter, letter.event_type, letter.handler_name, unreadable)
            return None
        return await self._handler(self._returns.handlers[letter.handler_name], event)

    async def _undecodable(self) -> str | None:
        readable = self._returns.read_again(self._letter)
        event = readable.item.event
        if await self._is_admitted(readable.group.name, event):
            return "applied"
        verdicts = [await self._handler(handler, event) for handler in readable.handlers]
        if None in verdicts:
            return None
        return next((verdict for verdict in ("passes", "called", "applied") if verdict in verdicts), "applied")

    async def _is_admitted(self, group: str, event: Event) -> bool:
        found = await self._tx.fetch_one(
            "select 1 from inbox where group_name = %s and event_id = %s", (group, event.id)
        )
        return found is not None

    async def _handler(self, handler: Handler, event: Event) -> str | None:
        if not isinstance(handler, Record):
            return "called"
        before = await self._changed_rows()
        try:
            async with self._tx.savepoint():
                await call(
                    handler.run, [event], self._tx, self._returns.context, timeout_seconds=handler.timeout_seconds
                )
                async with self._tx.connection.transaction(force_rollback=True):
                    await self._tx.execute("set constraints all immediate")
        except Exception as error:
            if is_transient(error):
                raise
            self._counts.fail(self._letter, event.type, handler.name, error)
            return None
        return "passes" if await self._changed_rows() > before else "applied"

    async def _changed_rows(self) -> int:
        """Rows that this transaction has changed so far, by PostgreSQL's own count."""
        row = await self._tx.fetch_one(
            "select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) from pg_stat_xact_user_tables"
        )
        return int(row[0]) if row else 0
