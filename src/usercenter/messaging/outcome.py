"""What a batch did, told to the metrics and the log once it is committed."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from usercenter.clock import Clock
from usercenter.messaging import dead_letters
from usercenter.messaging.batch import Batch
from usercenter.messaging.dead_letters import DeadLetter
from usercenter.messaging.effects import Effects
from usercenter.messaging.limits import Verdict
from usercenter.metrics import Metrics
from usercenter.tracing import trace_of, traceparent_in

log = structlog.get_logger()


class Outcome(NamedTuple):
    """A committed batch of one group."""

    group: str
    batch: Batch
    effects: Effects
    letters: Sequence[DeadLetter]
    repeated: int
    verdicts: Sequence[Verdict]

    def tell(self, *, metrics: Metrics, clock: Clock, log_each: int) -> None:
        """Count it and log it; each event on a line of its own if there are no more than `log_each`."""
        self._count_messages(metrics)
        self._count_effects(metrics, clock)
        self._log(log_each)
        dead_letters.announce(self.letters)

    def _count_messages(self, metrics: Metrics) -> None:
        types = Counter(item.event.type for item in self.batch.items)
        types["other"] = self.batch.unknown + len(self.batch.broken)
        for type_, number in types.items():
            metrics.consumed.labels(self.batch.topic, type_, self.group).inc(number)
        if self.batch.broken:
            metrics.consume_errors.labels(self.batch.topic, "other", self.group, "Undecodable").inc(
                len(self.batch.broken)
            )
        metrics.repeated.labels(self.group).inc(self.repeated)

    def _count_effects(self, metrics: Metrics, clock: Clock) -> None:
        now = clock.now()
        for handler, items, seconds in self.effects.done:
            metrics.handled.labels(handler, "done").inc(len(items))
            metrics.handler_seconds.labels(handler).observe(seconds)
            delays = [max(0.0, (now - item.event.occurred_at).total_seconds()) for item in items]
            metrics.effect_delay.labels(handler).observe_all(delays)
        for failed in self.effects.failed:
            name, error = failed.handler.name, type(failed.error).__name__
            metrics.handled.labels(name, "dead" if failed.wait_seconds is None else "failed").inc()
            metrics.consume_errors.labels(self.batch.topic, failed.item.event.type, self.group, error).inc()

    def _log(self, log_each: int) -> None:
        log.info(
            "kafka.batch_handled",
            group=self.group,
            messages=len(self.batch.messages),
            repeated=self.repeated,
            skipped=self.batch.unknown,
            failed=len(self.effects.failed),
            undecodable=len(self.batch.broken),
        )
        if len(self.batch.messages) > log_each:
            return
        for event, message in self.batch.items:
            log.info(
                "kafka.message_handled",
                group=self.group,
                topic=message.topic,
                partition=message.partition,
                offset=message.offset,
                event_type=event.type,
                event_id=str(event.id),
                request_id=event.request_id,
                **trace_of(traceparent_in(message.headers)),
            )
