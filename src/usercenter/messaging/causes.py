"""Which trace a message belongs to that a handler sends: the one of the event that it follows from.

A traceparent is made once, where the request came in. Whatever follows from its event carries the same one: no handler
has to think of it, an extension's neither.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final
from uuid import UUID

import msgspec

from usercenter.messaging.batch import Item
from usercenter.messaging.tasks import Task
from usercenter.tracing import HEADER, traceparent_in

_carried: Final[ContextVar[Mapping[UUID, str] | None]] = ContextVar("carried", default=None)


def traceparents(items: Iterable[Item]) -> dict[UUID, str]:
    """Those of the events that have one, by the event's id."""
    found = {}
    for event, message in items:
        if HEADER in message.headers and (traceparent := traceparent_in(message.headers)):
            found[event.id] = traceparent
    return found


def only_one(by_event: Mapping[UUID, str]) -> str | None:
    """The one that all of them have; None where they differ, and where there is none."""
    found = set(by_event.values())
    return found.pop() if len(found) == 1 else None


def traceparent_of(task: Task) -> str | None:
    """That of a task's event."""
    if HEADER not in task.headers:
        return None
    return traceparent_in(msgspec.json.decode(task.headers, type=dict[str, str]))


@contextmanager
def carrying(by_event: Mapping[UUID, str]) -> Iterator[None]:
    """Inside, what follows from these events belongs to their traces."""
    token = _carried.set(by_event)
    try:
        yield
    finally:
        _carried.reset(token)


def carried_from(event_id: UUID | None) -> str | None:
    """The traceparent of the event that is being handled under this id; None outside, and where it has none."""
    by_event = _carried.get()
    return by_event.get(event_id) if by_event and event_id else None
