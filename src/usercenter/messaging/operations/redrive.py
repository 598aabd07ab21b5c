"""Redrive: many letters become work again, a few first and the rest at a rate, and no more once too many fail again.

Each letter is settled in the transaction that makes work of it, so a redrive that is interrupted or killed, or runs
twice at once, gives back each letter once; to go on is to run it again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal

import msgspec

from usercenter.db import Database
from usercenter.messaging.operations import audit, letter_queries
from usercenter.messaging.operations.audit import Running
from usercenter.messaging.operations.letters import Reasons, Refusal, chunks, give_back
from usercenter.messaging.operations.outcomes import Outcomes, State
from usercenter.messaging.operations.returns import Returns
from usercenter.messaging.operations.selection import Selection

_LOOKS_A_SECOND: Final = 5
Phase = Literal["canary", "rest", "ends", "over"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How carefully."""

    rate: float = 50.0
    """Letters a second, after the canary."""
    canary: int = 10
    """So many are given back first, and their end is waited for."""
    stop_at_percent: float = 5.0
    """Stop when more than this share of those that were tried failed again."""
    patience_seconds: float = 300.0
    """Stop when for so long none of those that wait was tried."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a redrive is."""

    phase: Phase
    selected: int
    given_back: int
    states: dict[State, int]
    refused: list[Refusal]
    stopped_because: str | None = None


class Stopped(Exception):
    """The rest is not given back; the message says why."""


class Redrive:
    """One redrive, from the canary to its end."""

    def __init__(
        self,
        database: Database,
        *,
        returns: Returns,
        plan: Plan,
        tell: Callable[[Progress], None] = lambda progress: None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._returns = returns
        self._plan = plan
        self._tell = tell
        self._pause = pause
        self._now = now
        self._outcomes = Outcomes()
        self._refused = Reasons()
        self._phase: Phase = "canary"
        self._selected = 0
        self._given_back = 0
        self._stopped_because: str | None = None

    @property
    def progress(self) -> Progress:
        """How far it is, also after an interruption."""
        return Progress(
            phase=self._phase,
            selected=self._selected,
            given_back=self._given_back,
            states=self._outcomes.counts(),
            refused=self._refused.all(),
            stopped_because=self._stopped_because,
        )

    async def run(self, selection: Selection, *, by: str, reason: str | None = None) -> Progress:
        """Give back what is open of a selection; returns when all that can be tried was tried, or too much failed.

        Ends the operation as `done` or `stopped`; a cancellation stops it between two letters' transactions.
        """
        facts = selection.facts() | {"plan": msgspec.to_builtins(self._plan)}
        async with audit.operation(self._database, kind="redrive", by=by, reason=reason, selection=facts) as running:
            async with self._database.transaction() as tx:
                ids = await letter_queries.ids(tx, selection)
            self._selected = len(ids)
            try:
                await self._work(running, ids)
            except Stopped as stopped:
                self._stopped_because, running.state = str(stopped), "stopped"
            finally:
                self._phase = "over"
                await self._note_outcomes(running)
        self._tell(self.progress)
        return self.progress

    async def _work(self, running: Running, ids: Sequence[int]) -> None:
        canary, rest = ids[: self._plan.canary], ids[self._plan.canary :]
        if canary:
            await self._give_back(running, canary)
            await self._until_tried()
        self._phase = "rest"
        at_once = max(1, int(self._plan.rate / _LOOKS_A_SECOND))
        for some in chunks(rest, at_once):
            await self._give_back(running, some)
            await self._pause(len(some) / self._plan.rate)
            await self._look()
        self._phase = "ends"
        await self._until_tried()

    async def _give_back(self, running: Running, ids: Sequence[int]) -> None:
        async with self._database.transaction() as tx:
            returned, kept = await give_back(tx, ids, returns=self._returns, running=running)
        self._given_back += len(returned)
        self._outcomes.watch(returned)
        for each in kept:
            self._refused.add(each)

    async def _until_tried(self) -> None:
        """Wait until each was tried once or is behind one that failed. Raises Stopped."""
        waiting, since = -1, self._now()
        while True:
            await self._look()
            number = self._outcomes.counts()["waiting"]
            if not number:
                return
            if number != waiting:
                waiting, since = number, self._now()
            if self._now() - since > self._plan.patience_seconds:
                raise Stopped(
                    f"{number} letters wait and none was tried for {self._plan.patience_seconds:g} s: "
                    "is a worker running, and the handler not stopped (`usercenter groups resume`)? They stay tasks"
                )
            await self._pause(1 / _LOOKS_A_SECOND)

    async def _look(self) -> None:
        """See what became of those given back. Raises Stopped when too many failed again."""
        async with self._database.transaction() as tx:
            await self._outcomes.look(tx)
        self._tell(self.progress)
        counts = self._outcomes.counts()
        failed = counts["failing"] + counts["dead"]
        tried = failed + counts["passed"]
        if failed and failed / tried * 100 > self._plan.stop_at_percent:
            raise Stopped(
                f"{failed} of {tried} that were tried failed again, more than {self._plan.stop_at_percent:g} %"
            )

    async def _note_outcomes(self, running: Running) -> None:
        async with self._database.transaction() as tx:
            await running.note(tx, dict(self._outcomes.counts().items()))
