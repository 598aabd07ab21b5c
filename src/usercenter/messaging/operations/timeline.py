"""What became of each event of one user: outbox, Kafka, and every handler of every group.

PostgreSQL knows all of it but the place on Kafka of what is done; `messaging/operations/whereabouts.py` looks that up.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import msgspec

from usercenter.db import Transaction
from usercenter.events.masking import masked_event, masked_text
from usercenter.messaging.groups import Group

State = Literal["done", "on its way", "waiting", "parked", "dead", "discarded", "before its start", "not known"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One handler, and what it made of the event."""

    group: str
    handler: str
    state: State
    """`on its way`: its group has not read the event yet. `before its start`: the group began later. `not known`: older
    than `retention.inbox_days`, and nothing is left of it."""
    attempts: int = 0
    next_attempt_at: datetime | None = None
    error: str | None = None
    task: int | None = None
    letter: int | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event."""

    sequence: int
    id: UUID
    type: str
    at: datetime
    is_in_outbox: bool
    topic: str
    partition: int | None
    offset: int | None
    """None: in the outbox still, or not found on the topic."""
    event: dict[str, Any]
    steps: list[Step]


class _Work(NamedTuple):
    """A task or a dead letter of the user."""

    event_id: UUID
    step: Step
    partition: int | None
    offset: int | None
    topic: str


class _Kept(NamedTuple):
    """What the tables say of these events."""

    outbox: frozenset[UUID]
    inbox: frozenset[tuple[str, UUID]]
    starts: Mapping[str, datetime]
    work: Mapping[UUID, Sequence[_Work]]
    forgotten_before: datetime


async def timeline(
    tx: Transaction,
    user_id: UUID,
    groups: Sequence[Group],
    topics: Mapping[str, str],
    *,
    inbox_days: int,
    limit: int,
    is_masked: bool = True,
) -> list[Entry]:
    """The latest `limit` events of the user, the oldest first; places on Kafka as far as PostgreSQL knows them."""
    rows = await tx.fetch_all(_EVENTS, (user_id, limit))
    topic = topics["user_events"]
    reading = [group for group in groups if topics[group.stream] == topic]
    kept = await _kept(tx, user_id, [row[1] for row in rows], inbox_days=inbox_days, is_masked=is_masked)
    found = []
    for sequence, id_, type_, at, event in reversed(rows):
        place = next((each for each in kept.work[id_] if each.topic == topic and each.partition is not None), None)
        found.append(
            Entry(
                sequence=sequence,
                id=id_,
                type=type_,
                at=at,
                is_in_outbox=id_ in kept.outbox,
                topic=topic,
                partition=place.partition if place else None,
                offset=place.offset if place else None,
                event=masked_event(event) if is_masked else event,
                steps=[step for group in reading for step in _steps(group, id_, type_, at, kept)]
                + [work.step for work in kept.work[id_] if work.topic != topic],
            )
        )
    return found


def _steps(group: Group, id_: UUID, type_: str, at: datetime, kept: _Kept) -> Iterator[Step]:
    """Of every handler that the group has for this type; one with lanes of its own has a step for each lane."""
    for handler in _handlers(group, type_):
        own = [
            work.step
            for work in kept.work[id_]
            if work.step.group == group.name and work.step.handler.partition("/")[0] == handler
        ]
        yield from own or [Step(group=group.name, handler=handler, state=_state(group.name, id_, at, kept))]


def _handlers(group: Group, type_: str) -> list[str]:
    of_type = [handlers for each, handlers in group.handlers.items() if each.__struct_config__.tag == type_]
    return [handler.name for handlers in of_type for handler in handlers]


def _state(group: str, id_: UUID, at: datetime, kept: _Kept) -> State:
    if (group, id_) in kept.inbox:
        return "done"
    if id_ in kept.outbox:
        return "on its way"
    started = kept.starts.get(group)
    if started is not None and at < started:
        return "before its start"
    return "not known" if at < kept.forgotten_before else "on its way"


async def _kept(tx: Transaction, user_id: UUID, ids: list[UUID], *, inbox_days: int, is_masked: bool) -> _Kept:
    facts = {"user": user_id, "ids": ids, "days": inbox_days}
    work: dict[UUID, list[_Work]] = defaultdict(list)
    for row in await tx.fetch_all(_TASKS, facts):
        work[row[0]].append(_task(row, is_masked=is_masked))
    busy = {(each.event_id, each.step.group, each.step.handler) for inside in work.values() for each in inside}
    for row in await tx.fetch_all(_LETTERS, facts):
        if (row[0], row[1], row[2]) not in busy:  # it was retried: the task says more
            work[row[0]].append(_letter(row, is_masked=is_masked))
    forgotten = await tx.fetch_one("select now() - make_interval(days => %(days)s)", facts)
    return _Kept(
        outbox=frozenset(row[0] for row in await tx.fetch_all(_OUTBOX, facts)),
        inbox=frozenset((row[0], row[1]) for row in await tx.fetch_all(_INBOX, facts)),
        starts=dict(await tx.fetch_all("select group_name, min(pinned_at) from group_starts group by group_name")),
        work=work,
        forgotten_before=forgotten[0] if forgotten else datetime.min.replace(tzinfo=UTC),
    )


def _task(row: Any, *, is_masked: bool) -> _Work:
    event_id, group, handler, state, attempts, next_at, error, position, payload, topic, partition, offset = row
    step = Step(
        group=group,
        handler=handler,
        state=state,
        attempts=attempts,
        next_attempt_at=next_at,
        error=masked_text(error, payload) if error and is_masked else error,
        task=position,
    )
    return _Work(event_id, step, partition, offset, topic)


def _letter(row: Any, *, is_masked: bool) -> _Work:
    event_id, group, handler, how, attempts, error, id_, value, topic, partition, offset = row
    state: State = "dead" if how is None else "discarded" if how == "discarded" else "done"
    step = Step(
        group=group,
        handler=handler,
        state=state,
        attempts=attempts,
        error=masked_text(error, value) if is_masked else error,
        letter=id_,
    )
    return _Work(event_id, step, partition, offset, topic)


_EVENTS: Final = """
select sequence, id, type, created_at, payload from event_log where user_id = %s order by sequence desc limit %s
"""

_OUTBOX: Final = "select id from outbox where aggregateid = %(user)s::text and id = any(%(ids)s)"

_INBOX: Final = """
select group_name, event_id from inbox
where event_id = any(%(ids)s) and group_name in (select distinct group_name from group_starts)
"""

_TASKS: Final = """
select cause, group_name, handler,
    case when last_error is not null or next_attempt_at > now() then 'parked' else 'waiting' end, attempts,
    next_attempt_at, last_error, position, payload, topic, kafka_partition, kafka_offset
from tasks, lateral (select case when event_id = any(%(ids)s) then event_id
    when payload like '{%%' then (convert_from(payload, 'UTF8')::json ->> 'causation_id')::uuid end as cause) as c
where user_id = %(user)s and cause = any(%(ids)s) order by position
"""
"""A mail is about the event that it follows from."""

_LETTERS: Final = """
select distinct on (cause, group_name, handler) cause, group_name, handler, settled_how, attempts, error, id, value,
    topic, kafka_partition, kafka_offset
from dead_letters, lateral (select case when event_id = any(%(ids)s) then event_id
    when handler <> 'decode' and value like '{%%' then (convert_from(value, 'UTF8')::json ->> 'causation_id')::uuid
    end as cause) as c
where user_id = %(user)s and cause = any(%(ids)s) order by cause, group_name, handler, id desc
"""
