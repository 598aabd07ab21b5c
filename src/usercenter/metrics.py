"""Every metric of the service, in one list: name, kind, labels, meaning.

A service builds one `Metrics` at its start and hands it down; there is no global registry, so two services in one
process (as in the tests) keep their figures apart. Labels never hold a user's id or foreign text: an event type that
nobody declared is `other`.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_DELAYS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
_DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._add_kafka(registry)
        self._add_stores(registry)
        self._add_work(registry)

    def _add_kafka(self, registry: CollectorRegistry) -> None:
        self.produced = Counter(
            "kafka_producer_messages_total",
            "Messages that Kafka has acknowledged.",
            ("topic", "event_type"),
            registry=registry,
        )
        self.produce_errors = Counter(
            "kafka_producer_errors_total",
            "Messages that Kafka did not acknowledge; they stay in the outbox and are sent again.",
            ("topic", "event_type", "error"),
            registry=registry,
        )
        self.consumed = Counter(
            "kafka_consumer_messages_total",
            "Messages read from Kafka by a consumer group, repeated and unknown ones included.",
            ("topic", "event_type", "group"),
            registry=registry,
        )
        self.consume_errors = Counter(
            "kafka_consumer_errors_total",
            "Messages that a group could not handle at once: undecodable, or failed in a handler; and client errors.",
            ("topic", "event_type", "group", "error"),
            registry=registry,
        )
        self.records_lost = Counter(
            "usercenter_records_lost_total",
            "Records that the topic's retention deleted before the group had read them; event_log still has them.",
            ("group", "topic"),
            registry=registry,
        )
        self.repeated = Counter(
            "usercenter_repeated_messages_total",
            "Messages that the inbox already knew, and that had no second effect.",
            ("group",),
            registry=registry,
        )

    def _add_stores(self, registry: CollectorRegistry) -> None:
        self.outbox_depth = Gauge("usercenter_outbox_depth", "Messages not yet in Kafka.", registry=registry)
        self.outbox_oldest = Gauge(
            "usercenter_outbox_oldest_timestamp_seconds",
            "When the oldest message that is not yet in Kafka was committed (Unix time); 0 when there is none.",
            registry=registry,
        )
        self.tasks = Gauge(
            "usercenter_tasks",
            "Tasks by state: waiting (never failed yet) or parked (failed, or behind one of its lane that failed).",
            ("handler", "state"),
            registry=registry,
        )
        self.dead_letters = Gauge(
            "usercenter_dead_letters", "Dead letters that nobody has settled.", ("handler",), registry=registry
        )
        self.breaker_open = Gauge(
            "usercenter_breaker_open",
            "Outside handlers (of one with lanes of its own: their number) that are left alone: the other side fails.",
            ("handler",),
            registry=registry,
        )
        self.cache_reads = Counter(
            "usercenter_cache_reads_total",
            "Reads of a user by what the cache said: hit, miss, unreachable (PostgreSQL answered then).",
            ("outcome",),
            registry=registry,
        )
        self.cache_stale = Histogram(
            "usercenter_cache_stale_seconds",
            "From the commit of a change to the cache that knows it.",
            buckets=_DELAYS,
            registry=registry,
        )
        self.leased_shards = Gauge(
            "usercenter_leased_shards", "Shards that this process owns.", ("kind",), registry=registry
        )

    def _add_work(self, registry: CollectorRegistry) -> None:
        self.handled = Counter(
            "usercenter_handled_total",
            "Events that a handler has dealt with, by outcome: done, failed (to be retried), dead.",
            ("handler", "outcome"),
            registry=registry,
        )
        self.handler_seconds = Histogram(
            "usercenter_handler_duration_seconds",
            "One run of a handler; record handlers run once for all events of their type in a batch.",
            ("handler",),
            buckets=_DURATIONS,
            registry=registry,
        )
        self.effect_delay = Histogram(
            "usercenter_effect_delay_seconds",
            "From the commit of an event to its committed effect.",
            ("handler",),
            buckets=_DELAYS,
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "usercenter_batch_duration_seconds",
            "One batch of a consumer group, transaction included.",
            ("group",),
            buckets=_DURATIONS,
            registry=registry,
        )
        self.requests = Histogram(
            "usercenter_http_request_duration_seconds",
            "Answered HTTP requests by route and status.",
            ("method", "route", "status"),
            buckets=_DURATIONS,
            registry=registry,
        )

    def text(self) -> bytes:
        """All figures in Prometheus's text format; touches neither Kafka nor the database."""
        return generate_latest(self.registry)
