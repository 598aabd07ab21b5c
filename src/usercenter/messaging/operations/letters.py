"""Retry and discard: letters become work again, or are put away with a reason. Nothing is ever edited.

A letter is settled in the transaction that makes work of it, under its row's lock; so two operators who retry the same
letters at once, or a command that is killed and run again, do nothing twice.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from usercenter.db import Database, Transaction
from usercenter.messaging.operations import audit, letter_queries
from usercenter.messaging.operations.audit import Running
from usercenter.messaging.operations.letter_queries import Letter
from usercenter.messaging.operations.returns import Kept, Returned, Returns
from usercenter.messaging.operations.selection import Selection

T = TypeVar("T")

_AT_ONCE: Final = 200
"""Letters of one transaction: few enough to hold their locks for a moment only."""


class Refusal(msgspec.Struct, frozen=True):
    """Letters that stay, for one reason."""

    reason: str
    count: int
    example: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a bulk action."""

    operation_id: str
    selected: int
    """When the selection was made."""
    done: int
    gone: int
    """Settled by somebody else since."""
    refused: list[Refusal]


class Reasons:
    """Counts why letters stay."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, int] = {}

    def add(self, kept: Kept) -> None:
        """One more."""
        self.counts[kept.reason] += 1
        self.examples.setdefault(kept.reason, kept.letter.id)

    def join(self, other: "Reasons") -> None:
        """All that another one has counted."""
        self.counts += other.counts
        self.examples = other.examples | self.examples

    def all(self) -> list[Refusal]:
        """The most frequent first."""
        return [Refusal(reason, number, self.examples[reason]) for reason, number in self.counts.most_common()]


async def retry(
    database: Database, selection: Selection, *, returns: Returns, by: str, reason: str | None = None
) -> Result:
    """Make work again of what is still open of a selection. May be repeated, and run twice at once."""
    refused, done = Reasons(), 0
    async with audit.operation(
        database, kind="letters.retry", by=by, reason=reason, selection=selection.facts()
    ) as running:
        ids = await _open_ids(database, selection)
        for some in chunks(ids, _AT_ONCE):
            async with database.transaction() as tx:
                returned, kept = await give_back(tx, some, returns=returns, running=running)
            done += len(returned)
            for each in kept:
                refused.add(each)
    return _result(running, selection, done, refused.all())


async def discard(database: Database, selection: Selection, *, by: str, reason: str) -> Result:
    """Put away what is still open of a selection, with the reason; the letters stay in the table."""
    done = 0
    async with audit.operation(
        database, kind="letters.discard", by=by, reason=reason, selection=selection.facts()
    ) as running:
        ids = await _open_ids(database, selection)
        for some in chunks(ids, _AT_ONCE):
            async with database.transaction() as tx:
                letters = await letter_queries.lock(tx, some)
                await _settle(tx, letters, "discarded", running)
                await running.note(tx, {"discarded": len(letters)})
            done += len(letters)
    return _result(running, selection, done, [])


async def give_back(
    tx: Transaction, ids: Sequence[int], *, returns: Returns, running: Running
) -> tuple[list[Returned], list[Kept]]:
    """Make work again of those of these letters that are open, and settle them. Does not commit."""
    results = await returns.put_back(tx, await letter_queries.lock(tx, ids))
    returned = [each for each in results if isinstance(each, Returned)]
    kept = [each for each in results if isinstance(each, Kept)]
    await _settle(tx, [each.letter for each in returned], "retried", running)
    await running.note(tx, {"retried": len(returned), "refused": len(kept)})
    return returned, kept


def chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The values in pieces of at most that size."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


async def _settle(tx: Transaction, letters: Sequence[Letter], how: letter_queries.How, running: Running) -> None:
    await letter_queries.settle(tx, [letter.id for letter in letters], how=how, operation_id=running.id)


async def _open_ids(database: Database, selection: Selection) -> list[int]:
    async with database.transaction() as tx:
        return await letter_queries.ids(tx, selection)


def _result(running: Running, selection: Selection, done: int, refused: list[Refusal]) -> Result:
    stayed = sum(each.count for each in refused)
    return Result(
        operation_id=str(running.id),
        selected=selection.count,
        done=done,
        gone=max(0, selection.count - done - stayed),
        refused=refused,
    )
