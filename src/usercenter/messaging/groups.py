"""How the table of reactions is written: groups, their handlers, and the two kinds of those.

`record(f)` changes our own database, inside the batch's transaction, for all events of its type at once.
`outside(f)` talks to the world; in the batch it only becomes a task, and the task runner calls it afterwards.
A handler's name is its function's name, and its stable id in the tasks, metrics and dead letters: renaming it is a
migration.
"""

import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec

from usercenter.clock import Clock
from usercenter.db import Transaction
from usercenter.events import Event

T = TypeVar("T")
E = TypeVar("E", bound=Event)


class PermanentFailure(Exception):
    """Raised by a handler when no further attempt can help: the task becomes a dead letter at once."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler may use beside its event."""

    clock: Clock
    services: Mapping[type, Any] = {}
    idempotency_id: UUID | None = None
    """For outside handlers: the same at every attempt; give it to the other side (Message-ID, webhook-id)."""
    attempt: int = 1

    def service(self, kind: type[T]) -> T:
        """The service of that class which bootstrap put in. Raises LookupError when there is none."""
        try:
            return cast("T", self.services[kind])
        except KeyError:
            raise LookupError(f"no {kind.__name__} was given to the handlers; see bootstrap.py") from None


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When a failed task is tried again: exponential backoff with jitter, and an end."""

    attempts: int = 16
    first_seconds: float = 1.0
    longest_seconds: float = 3_600.0

    def wait_seconds(self, attempts: int) -> float | None:
        """The wait after so many attempts (1 or more): doubled each time, 75 to 125 % of it; None after the last."""
        if attempts >= self.attempts:
            return None
        plain = min(self.longest_seconds, self.first_seconds * 2.0 ** min(attempts - 1, 60))
        return plain * random.uniform(0.75, 1.25)  # noqa: S311  # spreads load, guards nothing


RecordFunction = Callable[[Sequence[Any], Transaction, Context], Awaitable[None]]
OutsideFunction = Callable[[Any, Context], Awaitable[None]]


class Record(msgspec.Struct, frozen=True):
    """A handler that changes our own database."""

    name: str
    run: RecordFunction
    schedule: Schedule | None = None


class Outside(msgspec.Struct, frozen=True):
    """A handler that talks to the world."""

    name: str
    run: OutsideFunction
    schedule: Schedule | None = None


Handler = Record | Outside


class Group(msgspec.Struct, frozen=True):
    """A consumer group: what it reads, and who reacts to what."""

    name: str
    stream: str
    handlers: Mapping[type[Event], tuple[Handler, ...]]

    def all_handlers(self) -> Iterator[Handler]:
        """Each handler, as often as it is named."""
        for handlers in self.handlers.values():
            yield from handlers


def record(
    function: Callable[[Sequence[E], Transaction, Context], Awaitable[None]], *, retry: Schedule | None = None
) -> Record:
    """Declare a function (events, tx, context) that changes our database, once for each event; it must not commit."""
    return Record(function.__name__, function, retry)


def outside(function: Callable[[E, Context], Awaitable[None]], *, retry: Schedule | None = None) -> Outside:
    """Declare a function (event, context) that talks to the world, at least once per event, in each user's order."""
    return Outside(function.__name__, function, retry)


def handlers_by_name(groups: Iterable[Group]) -> dict[str, Handler]:
    """Every handler by its stable name. Raises ValueError when two different functions bear one name."""
    found: dict[str, Handler] = {}
    for group in groups:
        for handler in group.all_handlers():
            if found.setdefault(handler.name, handler) != handler:
                raise ValueError(f"two handlers are named {handler.name!r}: rename one, the name is its identity")
    return found
