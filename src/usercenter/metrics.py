"""The figures of one process; what they are is listed in `measures.py`.

A service builds one `Metrics` at its start and hands it down; there is no global registry, so two services in one
process (as in the tests) keep their figures apart.
"""

from bisect import bisect_left
from collections import Counter as Counted
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from usercenter import measures
from usercenter.measures import Measure

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Distribution(Histogram):
    """A histogram that takes many observations at once: a batch has hundreds, each of which costs two locks alone."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Observe each of them."""
        self._raise_if_not_observable()  # type: ignore[no-untyped-call]
        self._sum.inc(sum(amounts))
        for bucket, number in Counted(bisect_left(self._upper_bounds, amount) for amount in amounts).items():
            self._buckets[bucket].inc(number)


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # else a second series for each, which nobody reads
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._add_kafka()
        self._add_stores()
        self._add_groups()
        self._add_work()
        self._add_clients()

    def _add_kafka(self) -> None:
        self.produced = self._counter(measures.PRODUCED)
        self.produce_errors = self._counter(measures.PRODUCE_ERRORS)
        self.consumed = self._counter(measures.CONSUMED)
        self.consume_errors = self._counter(measures.CONSUME_ERRORS)
        self.records_lost = self._counter(measures.RECORDS_LOST)
        self.repeated = self._counter(measures.REPEATED)

    def _add_stores(self) -> None:
        self.outbox_depth = self._gauge(measures.OUTBOX_DEPTH)
        self.outbox_oldest = self._gauge(measures.OUTBOX_OLDEST)
        self.tasks = self._gauge(measures.TASKS)
        self.dead_letters = self._gauge(measures.DEAD_LETTERS)
        self.stopped = self._gauge(measures.STOPPED)
        self.breaker_open = self._gauge(measures.BREAKER_OPEN)
        self.cache_reads = self._counter(measures.CACHE_READS)
        self.guesses_refused = self._counter(measures.GUESSES_REFUSED)
        self.cache_stale = self._histogram(measures.CACHE_STALE)
        self.leased_shards = self._gauge(measures.LEASED_SHARDS)

    def _add_groups(self) -> None:
        self.group_behind = self._gauge(measures.GROUP_BEHIND)
        self.group_lag = self._gauge(measures.GROUP_LAG)
        self.group_drain = self._gauge(measures.GROUP_DRAIN)
        self.handler_behind = self._gauge(measures.HANDLER_BEHIND)
        self.snapshot_time = self._gauge(measures.SNAPSHOT_TIME)
        self.unaccounted = self._gauge(measures.UNACCOUNTED)

    def _add_work(self) -> None:
        self.handled = self._counter(measures.HANDLED)
        self.handler_seconds = self._histogram(measures.HANDLER_SECONDS)
        self.effect_delay = self._histogram(measures.EFFECT_DELAY)
        self.batch_seconds = self._histogram(measures.BATCH_SECONDS)
        self.requests = self._histogram(measures.REQUESTS)

    def _add_clients(self) -> None:
        self.client_in_flight = self._gauge(measures.CLIENT_IN_FLIGHT)
        self.client_queued = self._gauge(measures.CLIENT_QUEUED)
        self.client_round_trip = self._gauge(measures.CLIENT_ROUND_TRIP)
        self.client_brokers_up = self._gauge(measures.CLIENT_BROKERS_UP)
        self.client_retries = self._counter(measures.CLIENT_RETRIES)
        self.client_errors = self._counter(measures.CLIENT_ERRORS)
        self.client_reconnects = self._counter(measures.CLIENT_RECONNECTS)
        self.client_rebalances = self._counter(measures.CLIENT_REBALANCES)

    def text(self) -> bytes:
        """All figures in Prometheus's text format; touches neither Kafka nor the database."""
        return generate_latest(self.registry)

    def _counter(self, measure: Measure) -> Counter:
        _check(measure, "counter")
        return Counter(measure.name, measure.meaning, measure.labels, registry=self.registry)

    def _gauge(self, measure: Measure) -> Gauge:
        _check(measure, "gauge")
        return Gauge(measure.name, measure.meaning, measure.labels, registry=self.registry)

    def _histogram(self, measure: Measure) -> Distribution:
        _check(measure, "histogram")
        return Distribution(
            measure.name, measure.meaning, measure.labels, buckets=measure.buckets, registry=self.registry
        )


def _check(measure: Measure, kind: str) -> None:
    """The list and the code say the same, or nothing starts."""
    if measure.kind != kind:
        raise ValueError(f"measures.py lists {measure.name} as a {measure.kind}, and metrics.py makes a {kind} of it")
