"""How the table of reactions is written: groups, their handlers, and the two kinds of those.

`record(f)` changes our own database, inside the batch's transaction, for all of the batch's events that it is declared
for, at once and in their order; one function may be declared for several types.
`outside(f)` talks to the world; in the batch it only becomes a task, and the task runner calls it afterwards.
A handler's name is its function's name, and its stable id in the tasks, metrics and dead letters: renaming it is a
migration.
"""

import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, LiteralString, TypeVar, cast
from uuid import UUID

import msgspec

from usercenter.clock import Clock
from usercenter.db import Transaction
from usercenter.events import Event

RESERVED_NAMES: Final = frozenset({"decode", "relay"})
"""What dead letters say in the place of a handler, when none was reached."""

T = TypeVar("T")
E = TypeVar("E", bound=Event)


class PermanentFailure(Exception):
    """Raised by a handler when no further attempt can help: the task becomes a dead letter at once."""


class RetryLater(Exception):
    """A failure whose other side said when to come back; what an outside handler may raise or inherit from.

    The attempt counts, and the wait is at least `retry_after_seconds`, if that is given.
    """

    retry_after_seconds: float | None = None


class NotYet(Exception):
    """Raised by an outside handler whose time has not come (quiet hours, others unfinished): no failure.

    The task comes due again after so many seconds, its lane waits behind it, and the attempt does not count.
    """

    is_failure = False

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not before {seconds:g} s from now")
        self.seconds = seconds


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler may use beside its event."""

    clock: Clock
    services: Mapping[type, Any] = {}
    idempotency_id: UUID | None = None
    """For outside handlers: the event's id, the same at every attempt; for the other side (Message-ID, webhook-id)."""
    attempt: int = 1
    lane: str = ""
    """For outside handlers with lanes of their own: which of them this is (see `outside`)."""

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

    def plain_seconds(self, attempts: int) -> float | None:
        """The wait after so many attempts (1 or more), without jitter: doubled each time; None after the last."""
        if attempts >= self.attempts:
            return None
        return min(self.longest_seconds, self.first_seconds * 2.0 ** min(attempts - 1, 60))

    def wait_seconds(self, attempts: int) -> float | None:
        """The wait after so many attempts: 75 to 125 % of the plain one; None after the last."""
        plain = self.plain_seconds(attempts)
        if plain is None:
            return None
        return plain * random.uniform(0.75, 1.25)  # noqa: S311  # spreads load, guards nothing


RecordFunction = Callable[[Sequence[Any], Transaction, Context], Awaitable[None]]
OutsideFunction = Callable[[Any, Context], Awaitable[None]]
SetFunction = Callable[[Sequence[Any], Context], Awaitable[None]]
Replay = Literal["repeatable", "once"]
"""Whether a second run for the same event changes nothing that the first one has done."""
ConcurrentFunction = Callable[["Context"], int]
LanesFunction = Callable[[Sequence[Any], Transaction, Context], Awaitable[Mapping[UUID, Sequence[str]]]]


class Record(msgspec.Struct, frozen=True):
    """A handler that changes our own database."""

    name: str
    run: RecordFunction
    schedule: Schedule | None = None
    timeout_seconds: float = 20.0
    replay: Replay = "once"
    lacks: LiteralString | None = None


class Outside(msgspec.Struct, frozen=True):
    """A handler that talks to the world."""

    name: str
    run: OutsideFunction
    schedule: Schedule | None = None
    timeout_seconds: float = 300.0
    lanes: LanesFunction | None = None
    concurrent: ConcurrentFunction | None = None
    replay: Replay = "once"
    together: SetFunction | None = None
    only_if: Callable[[Context], bool] | None = None


Handler = Record | Outside


class Group(msgspec.Struct, frozen=True):
    """A consumer group: what it reads, and who reacts to what."""

    name: str
    stream: str
    handlers: Mapping[type[Event], tuple[Handler, ...]]
    keeps_unreadable: bool = True
    """Whether it makes dead letters of what nobody can read; of the groups that read one topic, one is enough."""

    def all_handlers(self) -> Iterator[Handler]:
        """Each handler, as often as it is named."""
        for handlers in self.handlers.values():
            yield from handlers


def record(
    function: Callable[[Sequence[E], Transaction, Context], Awaitable[None]],
    *,
    retry: Schedule | None = None,
    timeout_seconds: float = 20.0,
    replay: Replay = "once",
    lacks: LiteralString | None = None,
) -> Record:
    """Declare a function (events, tx, context) that changes our database, once for each event; it must not commit.

    When it has not ended after `timeout_seconds` it is cancelled, with the statement that it waits for, and has failed;
    which of its events is to blame is then found by halving, each half with the same limit. `replay` says what a replay
    may do: "repeatable" if a second run for the same event changes nothing. `lacks` is an SQL condition over the
    event's row `e` of event_log, true where the effect of a handled event is not there; with it `usercenter verify`
    proves that effect.
    """
    return Record(_name_of(function), function, retry, timeout_seconds, replay, lacks)


def outside(
    function: Callable[[E, Context], Awaitable[None]],
    *,
    retry: Schedule | None = None,
    timeout_seconds: float = 300.0,
    lanes: LanesFunction | None = None,
    concurrent: ConcurrentFunction | None = None,
    replay: Replay = "once",
    together: Callable[[Sequence[E], Context], Awaitable[None]] | None = None,
    only_if: Callable[[Context], bool] | None = None,
) -> Outside:
    """Declare a function (event, context) that talks to the world, at least once per event, in each user's order.

    An attempt that has not ended after `timeout_seconds` is cancelled, and failed. With `lanes` an event becomes one
    task for each name that it returns for the event's id (none: no task), each in a lane of its own, so that one slow
    receiver holds up no other; the handler reads the name from `context.lane`. `concurrent` says how many calls, of one
    name if there are such, each process makes at a time: what waits for a place waits in the table, and costs nothing.
    `replay` is as with `record`.

    `together` does the same for many events at once, of many users and of one user in order: all of it, or it raises.
    Then each event is done by itself, those that it had done already once more. With `only_if` an event becomes a task
    only where that says so, when it arrives: what has nothing to do leaves nothing.
    """
    return Outside(_name_of(function), function, retry, timeout_seconds, lanes, concurrent, replay, together, only_if)


def in_sets(handlers: Mapping[str, Handler]) -> dict[str, Outside]:
    """Those that take many tasks at once; the others are the task runner's (`messaging/runner.py`)."""
    return {name: each for name, each in handlers.items() if isinstance(each, Outside) and each.together is not None}


def task_name(handler: str, lane: str) -> str:
    """What the tasks call a handler in one of its lanes."""
    return f"{handler}/{lane}" if lane else handler


def handlers_by_name(groups: Iterable[Group]) -> dict[str, Handler]:
    """Every handler by its stable name. Raises ValueError when a name does not say which handler is meant."""
    found: dict[str, Handler] = {}
    for group in groups:
        for event_class, handlers in group.handlers.items():
            names = [handler.name for handler in handlers]
            if len(set(names)) < len(names):
                raise ValueError(f"a handler is named twice for {event_class.__name__} in {group.name!r}: {names}")
        for handler in group.all_handlers():
            if found.setdefault(handler.name, handler) != handler:
                raise ValueError(
                    f"two handlers are named {handler.name!r}, or one is declared in two ways: "
                    "rename or declare it alike; the name is its identity"
                )
    return found


def _name_of(function: object) -> str:
    name = getattr(function, "__name__", "")
    if not name.isidentifier() or name in RESERVED_NAMES:
        raise ValueError(f"{function!r} cannot be a handler: write it as a function with a name of its own")
    return str(name)
