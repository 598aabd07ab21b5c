"""What a runner fetches from the table into its lanes, and what it leaves there for later."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final

from usercenter.db import Transaction
from usercenter.messaging import tasks
from usercenter.messaging.gates import Gates
from usercenter.messaging.holds import Holds
from usercenter.messaging.lanes import Lanes
from usercenter.messaging.tasks import Lane, Waiting

EARLY_SECONDS: Final = 0.02


class Intake:
    """Fills the lanes of one runner up to its window."""

    def __init__(
        self, lanes: Lanes, *, holds: Holds, gates: Gates, window: int, monotonic: Callable[[], float]
    ) -> None:
        self._lanes = lanes
        self._holds = holds
        self._gates = gates
        self._window = window
        self._monotonic = monotonic
        self._looked_at = float("-inf")
        self.was_early = False
        """Whether the last fetch was left out, because too little time has passed: the next one is due soon."""

    async def fetch(self, tx: Transaction, *, room: int, owned: frozenset[int]) -> bool:
        """Hold more of what is due, if the free lanes do not fill the room. Says whether tasks were postponed.

        Where they would, had their handlers more places, the table is asked now and then: others may have work there.
        """
        if not self._holds.are_none:
            self._lanes.drop_free(self._holds.is_held)
        limit, now = self._window - self._lanes.waiting, self._monotonic()
        self.was_early = self._lanes.free >= room and now - self._looked_at < EARLY_SECONDS
        if self.was_early or not owned or limit <= 0 or self._lanes.ready(room, owned) >= room:
            return False
        self._looked_at = now
        due = await self._due(tx, owned=owned, limit=limit)
        late, too_many = self._admit(due)
        if late:
            await tasks.postpone(tx, late)
        if too_many:
            await tasks.put_off(tx, too_many)
        return bool(late or too_many)

    async def _due(self, tx: Transaction, *, owned: Collection[int], limit: int) -> list[Waiting]:
        handlers, known, broken = self._holds.running(), self._lanes.known(), self._holds.broken()
        due = await tasks.due(tx, handlers=handlers, shards=owned, beside=known, limit=limit, broken=broken)
        for name in self._holds.to_probe(known):
            due += await tasks.due_of(tx, handler=name, shards=owned)
        return due

    def _admit(self, due: Sequence[Waiting]) -> tuple[dict[int, datetime], dict[int, float]]:
        """Offer them to the lanes; returns those that wait for one before them, and those that are too many here."""
        behind: dict[Lane, datetime] = {}
        late: dict[int, datetime] = {}
        queued: dict[Lane, float] = {}
        too_many: dict[int, float] = {}
        held = self._lanes.held()
        self._gates.look(held.keys() | {task.handler for task in due})
        for task in due:
            moment = task.due_with
            if behind:  # as good as never
                moment = max(filter(None, (moment, behind.get(task.lane))), default=None)
            if moment is not None:
                behind[task.lane] = late[task.position] = moment
            elif (seconds := queued.get(task.lane) or self._too_many(task, held)) is not None:
                queued[task.lane] = too_many[task.position] = seconds
            else:
                is_suspect = task.crashes >= tasks.SUSPECTED_AFTER_CRASHES
                held[task.handler] += self._lanes.offer(task.lane, task.position, is_suspect=is_suspect)
        return late, too_many

    def _too_many(self, task: Waiting, held: Counter[str]) -> float | None:
        """How long it shall wait if its handler has enough tasks in memory; those of a lane that is held come along."""
        most = self._gates.most_held(task.handler)
        if most is None or held[task.handler] < most or self._lanes.has(task.lane):
            return None
        return self._gates.put_off_seconds(task.handler)
