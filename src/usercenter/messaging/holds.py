"""What a runner leaves alone for now: handlers whose other side is down, and handlers that stopped themselves.

The breakers are this process's own: each finds out within a few attempts, and none needs the database to know. A stop
is a row that all processes see.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final

import structlog

from usercenter.clock import Clock
from usercenter.config.model import Config
from usercenter.db import Transaction, is_transient
from usercenter.messaging import stops
from usercenter.messaging.breaker import Breaker
from usercenter.messaging.calls import NeverEnded
from usercenter.messaging.dead_letters import DeadLetter
from usercenter.messaging.endings import Endings
from usercenter.messaging.groups import Handler, NotYet, Outside, PermanentFailure
from usercenter.messaging.limits import Limits, Verdict
from usercenter.messaging.open_breakers import OpenBreaker
from usercenter.messaging.stops import Stop
from usercenter.messaging.tasks import Lane, Task
from usercenter.metrics import Metrics

log = structlog.get_logger()

_LOOK_EVERY_SECONDS: Final = 1.0
_SAYS_NOTHING: Final = (PermanentFailure, NotYet, NeverEnded)
"""Failures that tell nothing about whether the other side is there."""


class Holds:
    """Breakers and stops of the handlers of tasks."""

    def __init__(self, config: Config, *, handlers: Mapping[str, Handler], clock: Clock, metrics: Metrics) -> None:
        self._config = config
        self._handlers = handlers
        self._clock = clock
        self._metrics = metrics
        self._breakers: dict[str, Breaker] = {}
        self._limits: dict[str, Limits] = defaultdict(lambda: Limits(config.limits, clock))
        self._stopped: dict[str, Stop] = {}
        self._look_after = float("-inf")

    def problems(self) -> list[str]:
        """The handlers that stopped themselves, why, and what to do."""
        return [f"handler {name} is {stop}" for name, stop in self._stopped.items()]

    def notes(self) -> list[str]:
        """The handlers whose other side is down: nothing is lost, and nothing is to be done about it here."""
        return [
            f"handler {name}: its other side fails, tried again in {self._breakers[name].seconds_left:.0f} s"
            for name in self.broken()
        ]

    def open_breakers(self) -> list[OpenBreaker]:
        """The same, since when, and when the next attempt may be made."""
        now = self._clock.now()
        found = [(name, self._breakers[name]) for name in self.broken()]
        return [
            OpenBreaker(
                handler=name,
                since=now - timedelta(seconds=breaker.seconds_open),
                next_try_at=now + timedelta(seconds=breaker.seconds_left),
            )
            for name, breaker in found
        ]

    def running(self) -> list[str]:
        """The handlers that have not stopped."""
        return [name for name in self._handlers if name not in self._stopped]

    def broken(self) -> list[str]:
        """Handlers, with the lane of their own if they have such, whose breaker is not closed."""
        return [name for name, breaker in self._breakers.items() if not breaker.is_closed]

    def to_probe(self, in_hand: Collection[Lane]) -> list[str]:
        """Those of the broken ones of which one task may be tried now; never two at a time."""
        busy = {handler for handler, _ in in_hand}
        return [
            name
            for name, breaker in self._breakers.items()
            if breaker.may_probe and name not in busy and name.partition("/")[0] not in self._stopped
        ]

    @property
    def are_none(self) -> bool:
        """Whether nothing at all is left alone: nothing has stopped, and every breaker is closed."""
        return not self._stopped and all(breaker.is_closed for breaker in self._breakers.values())

    def is_held(self, handler: str) -> bool:
        """Whether no task of it is to be begun."""
        breaker = self._breakers.get(handler)
        return handler.partition("/")[0] in self._stopped or not (
            breaker is None or breaker.is_closed or breaker.may_probe
        )

    def note(self, task: Task, error: BaseException | None) -> None:
        """An attempt has come to its end."""
        if error is None and task.handler not in self._breakers:
            return  # the most frequent case, at each task
        if not isinstance(self._handlers.get(task.handler_name), Outside):
            return
        if error is None:
            breaker = self._breakers.pop(task.handler, None)
            if breaker is not None and breaker.note_success():
                log.info("tasks.breaker_closed", handler=task.handler)
        elif not isinstance(error, _SAYS_NOTHING) and not is_transient(error):
            breaker = self._breakers.setdefault(task.handler, self._new_breaker())
            if breaker.note_failure(task.user_id):
                facts = {"handler": task.handler, "error": type(error).__name__}
                log.warning("tasks.breaker_opened", **facts, tried_again_in_seconds=round(breaker.seconds_left))
        self._show(task.handler_name)

    async def look(self, tx: Transaction) -> None:
        """See, about once a second, which handlers have stopped, or were resumed."""
        now = self._clock.monotonic()
        if now < self._look_after:
            return
        stopped = {stop.name: stop for stop in await stops.among(tx, self._handlers)}
        for name in self._stopped.keys() - stopped.keys():
            self._limits.pop(name, None)
        self._stopped = stopped
        self._look_after = now + _LOOK_EVERY_SECONDS

    async def stop_if_too_much(self, tx: Transaction, endings: Endings, letters: Sequence[DeadLetter]) -> None:
        """Stop the handlers that gave up too much, in the transaction that notes it. Does not commit."""
        if not letters:
            return
        for name, verdicts in _verdicts(endings, letters).items():
            reason = self._limits[name].passed_with(verdicts) if Verdict.DEAD in verdicts else None
            if reason and name not in self._stopped:
                await stops.add(tx, name, reason)
                self._look_after = float("-inf")

    def count(self, endings: Endings, letters: Sequence[DeadLetter]) -> None:
        """The transaction is committed."""
        for name, verdicts in _verdicts(endings, letters).items():
            self._limits[name].note(verdicts)

    def _new_breaker(self) -> Breaker:
        settings = self._config.tasks
        return Breaker(
            failures=settings.breaker_failures,
            seconds=settings.breaker_seconds,
            longest_seconds=settings.breaker_longest_seconds,
            monotonic=self._clock.monotonic,
        )

    def _show(self, handler: str) -> None:
        number = sum(name.partition("/")[0] == handler for name in self.broken())
        self._metrics.breaker_open.labels(handler).set(number)


def _verdicts(endings: Endings, letters: Sequence[DeadLetter]) -> dict[str, list[Verdict]]:
    """By handler: what came to an end. A task that will be tried again has not."""
    found: dict[str, list[Verdict]] = defaultdict(list)
    for done in endings.done:
        found[done.task.handler_name].append(Verdict.FINE)
    for letter in letters:
        found[letter.handler.partition("/")[0]].append(Verdict.DEAD)
    return found
