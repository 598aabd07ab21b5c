"""What the task runner and the sets are given alike, and what each of them makes of it for its own handlers."""

from collections.abc import Mapping
from dataclasses import dataclass

from usercenter.config.model import Config
from usercenter.db import Database
from usercenter.events import Registry
from usercenter.messaging.attempts import Attempts
from usercenter.messaging.endings import Ledger
from usercenter.messaging.groups import Context, Handler, Schedule
from usercenter.messaging.holds import Holds
from usercenter.messaging.leases import Leases
from usercenter.metrics import Metrics
from usercenter.tracing import UNTRACED, Tracing


@dataclass(frozen=True, kw_only=True)
class Equipment:
    """The parts of one process that works off tasks."""

    config: Config
    registry: Registry
    database: Database
    leases: Leases
    context: Context
    streams: Mapping[str, str]
    """By topic: the stream of its dead letters."""
    schedule: Schedule
    """Of the handlers that have none of their own."""
    metrics: Metrics
    tracing: Tracing = UNTRACED

    def attempts(self, handlers: Mapping[str, Handler]) -> Attempts:
        """Who calls these handlers."""
        return Attempts(
            handlers=handlers,
            registry=self.registry,
            database=self.database,
            context=self.context,
            tracing=self.tracing,
        )

    def ledger(self, handlers: Mapping[str, Handler]) -> Ledger:
        """Who notes how that ended."""
        return Ledger(
            handlers=handlers,
            streams=self.streams,
            schedule=self.schedule,
            clock=self.context.clock,
            metrics=self.metrics,
            log_each=self.config.logging.each_event_up_to,
        )

    def holds(self, handlers: Mapping[str, Handler]) -> Holds:
        """Which of them are left alone for now."""
        return Holds(self.config, handlers=handlers, clock=self.context.clock, metrics=self.metrics)
