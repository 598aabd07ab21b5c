"""Marks: which batch a group has begun on each partition, written down before any of it runs.

A mark that is met again, open, was left by a process that ended in the middle; perhaps by the very event that is now
about to be handled again. So what a mark covers is then handled one message at a time, each with a mark of its own, and
a message that was begun and not ended too often is not run any more. Only ends of processes count: whoever lives and
gives a batch back takes its mark back, and the transaction of the batch closes it.

Marks are committed without waiting for the disk. What they are for is a process that dies while PostgreSQL lives;
should PostgreSQL itself go down, the last marks may be forgotten, and the counting begins anew.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import structlog

from usercenter.db import Database, OutcomeUnknown, Transaction, is_transient
from usercenter.messaging import stops
from usercenter.messaging.batch import Received

log = structlog.get_logger()

_PATIENCE_SECONDS: Final = 1.0  # for taking a mark back; a rebalance or the end of the process waits for it

Place = tuple[str, int]
"""Topic and partition."""


class Mark(NamedTuple):
    """What was begun on one partition, and how often without coming to an end."""

    topic: str
    partition: int
    first: int
    last: int
    attempts: int

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.topic, self.partition


class Marks:
    """The marks of one group in this process, which handles one batch after the other."""

    def __init__(self, group: str, database: Database) -> None:
        self._group = group
        self._database = database
        self._ours: dict[Place, Mark] = {}
        """What this process has written last, or perhaps has; closed by now, or open."""
        self._is_owing = False
        """Whether something had to be given back, and could not be."""

    async def begin(self, messages: Sequence[Received]) -> list[Mark]:
        """Mark a batch as begun, in a transaction of its own; returns the marks of processes that ended in it.

        Where one of those is met, it stays as it is: see `begin_alone`. A batch that lies before it is read once more
        on the way to it, and needs no mark. Raises Stopped when the group is not to handle anything.
        """
        wanted = _marks_of(messages)
        if self._is_owing:
            await self._database.run_alone(_GIVE_BACK, self._parameters(self._ours.values()))
            self._is_owing = False
        try:
            rows = await self._database.run_alone(_BEGIN, self._parameters(wanted))
        except (OutcomeUnknown, asyncio.CancelledError):  # perhaps they are written, and then it was us
            self._ours |= {mark.place: mark for mark in wanted}
            raise
        marked = {(row[0], row[1]) for row in rows}
        self._ours |= {mark.place: mark for mark in wanted if mark.place in marked}
        left = [mark for mark in wanted if mark.place not in marked]
        return await self._look(left) if left else []

    async def begin_alone(self, message: Received, *, attempts: int) -> None:
        """Mark one message as begun so often, itself alone, in a transaction of its own."""
        mark = Mark(message.topic, message.partition, message.offset, message.offset, attempts)
        self._ours[mark.place] = mark  # also if there is no answer: nobody else's is like it
        await self._database.run_alone(_BEGIN_ALONE, self._parameters([mark]))

    async def close(self, tx: Transaction, messages: Iterable[Received]) -> None:
        """They are done if this transaction commits. Does not commit."""
        places = {(message.topic, message.partition) for message in messages}
        await tx.send(_CLOSE, self._parameters(mark for place, mark in self._ours.items() if place in places))

    async def give_back(self) -> None:
        """What was begun has not come to its end, and this process lives: it does not count. Raises nothing transient.

        If PostgreSQL is away the mark stays open, and is taken back before the next one is written. Should this process
        end before that, its end counts, though perhaps nobody was to blame.
        """
        self._is_owing = True
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._database.run_alone(_GIVE_BACK, self._parameters(self._ours.values()))
        except Exception as error:
            if not (is_transient(error) or isinstance(error, TimeoutError)):
                raise
            log.info("kafka.mark_left_open", group=self._group, error=type(error).__name__)
        else:
            self._is_owing = False

    async def _look(self, left: Sequence[Mark]) -> list[Mark]:
        """Why these could not be marked: the open marks that share a message with them."""
        async with self._database.transaction() as tx:
            await stops.check(tx, self._group)
            return [Mark(*row) for row in await tx.fetch_all(_LOOK, self._parameters(left))]

    def _parameters(self, marks: Iterable[Mark]) -> dict[str, object]:
        rows = list(marks)
        columns = {name: [mark[number] for mark in rows] for number, name in enumerate(Mark._fields)}
        return {"group": self._group, **columns}


def parted(
    messages: Sequence[Received], suspects: Sequence[Mark]
) -> tuple[list[Received], list[tuple[Received, Mark]], list[Received]]:
    """Those that come before what is suspected on their partition (or nothing is), the suspected ones, and the rest."""
    of_place = {mark.place: mark for mark in suspects}
    calm: list[Received] = []
    suspected: list[tuple[Received, Mark]] = []
    rest: list[Received] = []
    for message in messages:
        mark = of_place.get((message.topic, message.partition))
        if mark is None or message.offset < mark.first:
            calm.append(message)
        elif message.offset <= mark.last:
            suspected.append((message, mark))
        else:
            rest.append(message)
    return calm, suspected, rest


def _marks_of(messages: Iterable[Received]) -> list[Mark]:
    offsets: dict[Place, list[int]] = {}
    for message in messages:
        offsets.setdefault((message.topic, message.partition), []).append(message.offset)
    return [Mark(*place, min(found), max(found), 1) for place, found in sorted(offsets.items())]  # sorted: no deadlock


_BEGIN: Final = """
with quick as materialized (select set_config('synchronous_commit', 'off', true))
insert into batches_begun as b (group_name, topic, kafka_partition, first_offset, last_offset, attempts, begun_at)
select %(group)s, w.topic, w.kafka_partition, w.first_offset, w.last_offset, w.attempts, now()
from quick, unnest(%(topic)b::text[], %(partition)b::int[], %(first)b::bigint[], %(last)b::bigint[],
    %(attempts)b::int[]) as w (topic, kafka_partition, first_offset, last_offset, attempts)
where not exists (select 1 from group_stops where group_name = %(group)s)
on conflict (group_name, topic, kafka_partition) do update
set first_offset = excluded.first_offset, last_offset = excluded.last_offset, attempts = excluded.attempts,
    begun_at = now()
where b.attempts = 0 or b.last_offset < excluded.first_offset or b.begun_at < now() - interval '1 day'
returning topic, kafka_partition
"""
"""A mark of yesterday says nothing: its topic was made anew since, or its group begins elsewhere."""

_BEGIN_ALONE: Final = """
with quick as materialized (select set_config('synchronous_commit', 'off', true))
insert into batches_begun (group_name, topic, kafka_partition, first_offset, last_offset, attempts, begun_at)
select %(group)s, w.topic, w.kafka_partition, w.first_offset, w.last_offset, w.attempts, now()
from quick, unnest(%(topic)b::text[], %(partition)b::int[], %(first)b::bigint[], %(last)b::bigint[],
    %(attempts)b::int[]) as w (topic, kafka_partition, first_offset, last_offset, attempts)
on conflict (group_name, topic, kafka_partition) do update
set first_offset = excluded.first_offset, last_offset = excluded.last_offset, attempts = excluded.attempts,
    begun_at = now()
returning topic
"""

_LOOK: Final = """
select b.topic, b.kafka_partition, b.first_offset, b.last_offset, b.attempts from batches_begun b
join unnest(%(topic)b::text[], %(partition)b::int[], %(first)b::bigint[], %(last)b::bigint[])
    as w (topic, kafka_partition, first_offset, last_offset) using (topic, kafka_partition)
where b.group_name = %(group)s and b.attempts > 0
and b.first_offset <= w.last_offset and b.last_offset >= w.first_offset
"""

_CLOSE: Final = """
update batches_begun b set attempts = 0
from unnest(%(topic)b::text[], %(partition)b::int[], %(first)b::bigint[], %(last)b::bigint[],
    %(attempts)b::int[]) as w (topic, kafka_partition, first_offset, last_offset, attempts)
where b.group_name = %(group)s
and (b.topic, b.kafka_partition, b.first_offset, b.last_offset, b.attempts)
    = (w.topic, w.kafka_partition, w.first_offset, w.last_offset, w.attempts)
"""

_GIVE_BACK: Final = """
update batches_begun b set attempts = b.attempts - 1
from unnest(%(topic)b::text[], %(partition)b::int[], %(first)b::bigint[], %(last)b::bigint[],
    %(attempts)b::int[]) as w (topic, kafka_partition, first_offset, last_offset, attempts)
where b.group_name = %(group)s
and (b.topic, b.kafka_partition, b.first_offset, b.last_offset, b.attempts)
    = (w.topic, w.kafka_partition, w.first_offset, w.last_offset, w.attempts)
returning b.topic
"""
