"""What became of letters that were given back: whether they wait, failed again, died again, or passed."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal, get_args
from uuid import UUID

from usercenter.db import Transaction
from usercenter.messaging.operations.returns import DECODE, Returned

State = Literal["waiting", "held", "failing", "dead", "passed"]
"""Not tried yet; behind another that failed; failed again and parked; a dead letter again; done."""
STATES: Final[tuple[State, ...]] = get_args(State)

_FINAL: Final = frozenset({"dead", "passed"})
_Watched = tuple[int, str | None, UUID, UUID]


class Outcomes:
    """Follows letters from their return to their end; forgets those that came to it."""

    def __init__(self) -> None:
        self._open: dict[int, _Watched] = {}
        self._states: dict[int, State] = {}
        self._ended: Counter[State] = Counter()

    def watch(self, returned: Sequence[Returned]) -> None:
        """Follow these too. What goes into the outbox, or had nothing left to do, counts as passed."""
        for each in returned:
            letter = each.letter
            event_id, user_id = letter.event_id, letter.user_id
            if letter.handler == DECODE and each.event:
                event_id, user_id = each.event.id, each.event.user_id
            if each.is_applied or event_id is None or user_id is None:
                self._ended["passed"] += 1
                continue
            handler = None if letter.handler == DECODE else letter.handler
            self._open[letter.id] = letter.id, handler, event_id, user_id
            self._states[letter.id] = "waiting"

    async def look(self, tx: Transaction) -> None:
        """See how they stand now."""
        if not self._open:
            return
        columns = [list(column) for column in zip(*self._open.values(), strict=True)]
        for id_, state in await tx.fetch_all(_STANDING, columns):
            self._states[id_] = state
            if state in _FINAL:
                self._ended[self._states.pop(id_)] += 1
                del self._open[id_]

    def counts(self) -> dict[State, int]:
        """How many are in each state."""
        found = self._ended + Counter(self._states.values())
        return {state: found[state] for state in STATES}


_STANDING: Final = """
select e.id, case
    when t.number > 0 and t.is_failing then 'failing'
    when t.number > 0 and t.is_held then 'held'
    when t.number > 0 then 'waiting'
    when exists (
        select 1 from dead_letters d where d.user_id = e.user_id and d.event_id = e.event_id and d.id > e.id
        and (e.handler is null or d.handler = e.handler)
    ) then 'dead'
    else 'passed' end
from unnest(%b::bigint[], %b::text[], %b::uuid[], %b::uuid[]) as e (id, handler, event_id, user_id)
cross join lateral (
    select count(*) as number, bool_or(ended > 0 and last_error is not null) as is_failing,
        bool_or(next_attempt_at > now()) as is_held
    from tasks t
    where t.user_id = e.user_id and t.event_id = e.event_id and (e.handler is null or t.handler = e.handler)
) t
"""
