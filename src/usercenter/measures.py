"""Every metric of the service, in one list: kind, name, unit, labels, meaning, and the alert that watches it.

`docs/metrics.md` is printed from it by `usercenter metrics docs`; a test scrapes a running system and compares. Labels
never hold a user's id or foreign text: an event type that nobody declared is `other`.
"""

from typing import Final, Literal, NamedTuple

_DELAYS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
_DURATIONS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Measure(NamedTuple):
    """One metric."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    """A counter's ends in `_total`."""
    unit: str
    labels: tuple[str, ...]
    meaning: str
    alert: str = ""
    """The alert in `deploy/prometheus/rules.yml` that watches it, if one does."""
    buckets: tuple[float, ...] = ()


PRODUCED: Final = Measure(
    "counter", "kafka_producer_messages_total", "messages", ("topic", "event_type"),
    "Messages that Kafka has acknowledged.",
)  # fmt: skip
PRODUCE_ERRORS: Final = Measure(
    "counter", "kafka_producer_errors_total", "messages", ("topic", "event_type", "error"),
    "Messages that Kafka did not acknowledge; they stay in the outbox and are sent again.",
    alert="UsercenterSendsFail",
)  # fmt: skip
CONSUMED: Final = Measure(
    "counter", "kafka_consumer_messages_total", "messages", ("topic", "event_type", "group"),
    "Messages read from Kafka by a consumer group, repeated and unknown ones included.",
)  # fmt: skip
CONSUME_ERRORS: Final = Measure(
    "counter", "kafka_consumer_errors_total", "messages", ("topic", "event_type", "group", "error"),
    "Messages that a group could not handle at once: undecodable, or failed in a handler; and client errors.",
    alert="UsercenterReadsFail",
)  # fmt: skip
RECORDS_LOST: Final = Measure(
    "counter", "usercenter_records_lost_total", "records", ("group", "topic"),
    "Records that the topic's retention deleted before the group had read them; event_log still has them.",
    alert="UsercenterRecordsLost",
)  # fmt: skip
REPEATED: Final = Measure(
    "counter", "usercenter_repeated_messages_total", "messages", ("group",),
    "Messages that the inbox already knew, and that had no second effect.",
)  # fmt: skip

OUTBOX_DEPTH: Final = Measure("gauge", "usercenter_outbox_depth", "messages", (), "Messages not yet in Kafka.")
OUTBOX_OLDEST: Final = Measure(
    "gauge", "usercenter_outbox_oldest_timestamp_seconds", "Unix time", (),
    "When the oldest message that is not yet in Kafka was committed (Unix time); 0 when there is none.",
    alert="UsercenterOutboxWaits",
)  # fmt: skip
TASKS: Final = Measure(
    "gauge", "usercenter_tasks", "tasks", ("handler", "state"),
    "Tasks by state: waiting (never failed yet) or parked (failed, or behind one of its lane that failed).",
)  # fmt: skip
DEAD_LETTERS: Final = Measure(
    "gauge", "usercenter_dead_letters", "letters", ("handler",), "Dead letters that nobody has settled.",
    alert="UsercenterDeadLetters",
)  # fmt: skip
STOPPED: Final = Measure(
    "gauge", "usercenter_stopped", "0 or 1", ("name",),
    "Whether a group, or a handler of tasks, has stopped itself because too much failed.",
    alert="UsercenterStopped",
)  # fmt: skip
BREAKER_OPEN: Final = Measure(
    "gauge", "usercenter_breaker_open", "lanes", ("handler",),
    "Outside handlers (of one with lanes of its own: their number) that are left alone: the other side fails.",
    alert="UsercenterBreakerOpen",
)  # fmt: skip
CACHE_READS: Final = Measure(
    "counter", "usercenter_cache_reads_total", "reads", ("outcome",),
    "Reads of a user by what the cache said: hit, miss, unreachable (PostgreSQL answered then).",
    alert="UsercenterCacheUnreachable",
)  # fmt: skip
CACHE_STALE: Final = Measure(
    "histogram", "usercenter_cache_stale_seconds", "seconds", (),
    "From the commit of a change to the cache that knows it.", buckets=_DELAYS,
)  # fmt: skip
GUESSES_REFUSED: Final = Measure(
    "counter", "usercenter_guesses_refused_total", "guesses", ("limit",),
    "Passwords that were not looked at, because too many wrong ones had come before: for their name, or from their "
    "network.",
    alert="UsercenterPasswordsGuessed",
)  # fmt: skip
LEASED_SHARDS: Final = Measure(
    "gauge", "usercenter_leased_shards", "shards", ("kind",), "Shards that this process owns."
)  # fmt: skip

GROUP_BEHIND: Final = Measure(
    "gauge", "usercenter_group_behind_seconds", "seconds", ("group",),
    "How long ago the oldest event was committed that lies on Kafka and is not confirmed as handled; 0 without one.",
    alert="UsercenterGroupBehind",
)  # fmt: skip
GROUP_LAG: Final = Measure(
    "gauge", "usercenter_group_lag_messages", "messages", ("group", "topic"),
    "Records on the topic that the group has not committed as handled.",
)  # fmt: skip
GROUP_DRAIN: Final = Measure(
    "gauge", "usercenter_group_drain_seconds", "seconds", ("group",),
    "How long until the lag is gone if it shrinks as in the last minute; 0 without a lag, +Inf while it does not "
    "shrink.",
    alert="UsercenterGroupDoesNotDrain",
)  # fmt: skip
HANDLER_BEHIND: Final = Measure(
    "gauge", "usercenter_handler_behind_seconds", "seconds", ("handler",),
    "How long ago the event of the handler's oldest unfinished task happened (dead letters aside); 0 without one.",
    alert="UsercenterHandlerBehind",
)  # fmt: skip
SNAPSHOT_TIME: Final = Measure(
    "gauge", "usercenter_snapshot_timestamp_seconds", "Unix time", (),
    "When the groups and handlers were last looked at, by whichever process; what is older says little.",
    alert="UsercenterSnapshotsStale",
)  # fmt: skip
UNACCOUNTED: Final = Measure(
    "gauge", "usercenter_unaccounted_events", "events", ("group",),
    "Events of the last day that the group must have and that are in no inbox, outbox, topic or dead letter. Groups of "
    "user.events only; `usercenter verify` looks at all.",
    alert="UsercenterEventsMissing",
)  # fmt: skip

HANDLED: Final = Measure(
    "counter", "usercenter_handled_total", "events", ("handler", "outcome"),
    "Events that a handler has dealt with, by outcome: done, failed (to be retried), dead.",
)  # fmt: skip
HANDLER_SECONDS: Final = Measure(
    "histogram", "usercenter_handler_duration_seconds", "seconds", ("handler",),
    "One run of a handler; record handlers run once for all events of their type in a batch.", buckets=_DURATIONS,
)  # fmt: skip
EFFECT_DELAY: Final = Measure(
    "histogram", "usercenter_effect_delay_seconds", "seconds", ("handler",),
    "From the commit of an event to its committed effect.", buckets=_DELAYS,
)  # fmt: skip
BATCH_SECONDS: Final = Measure(
    "histogram", "usercenter_batch_duration_seconds", "seconds", ("group",),
    "One batch of a consumer group, transaction included.", buckets=_DURATIONS,
)  # fmt: skip
REQUESTS: Final = Measure(
    "histogram", "usercenter_http_request_duration_seconds", "seconds", ("method", "route", "status"),
    "Answered HTTP requests by route and status.", alert="UsercenterServerErrors", buckets=_DURATIONS,
)  # fmt: skip

CLIENT_IN_FLIGHT: Final = Measure(
    "gauge", "kafka_client_in_flight_requests", "requests", ("client",), "Requests to brokers that wait for an answer."
)  # fmt: skip
CLIENT_QUEUED: Final = Measure(
    "gauge", "kafka_client_queued_messages", "messages", ("client",),
    "Messages in the client library: of a producer not yet acknowledged, of a consumer fetched and not yet taken.",
)  # fmt: skip
CLIENT_ROUND_TRIP: Final = Measure(
    "gauge", "kafka_client_round_trip_seconds", "seconds", ("client", "statistic"),
    "Answer time of the slowest broker in the last interval, avg and p99. A fetch waits for news, so for consumers it "
    "says little below 0.1 s.",
    alert="UsercenterBrokersSlow",
)  # fmt: skip
CLIENT_BROKERS_UP: Final = Measure(
    "gauge", "kafka_client_brokers_up", "brokers", ("client",), "Brokers that the client has a working connection to.",
    alert="UsercenterKafkaUnreachable",
)  # fmt: skip
CLIENT_RETRIES: Final = Measure(
    "counter", "kafka_client_retries_total", "requests", ("client",), "Requests that the client library sent again."
)  # fmt: skip
CLIENT_ERRORS: Final = Measure(
    "counter", "kafka_client_request_errors_total", "requests", ("client",),
    "Requests that could not be sent, or had no answer in time.",
)  # fmt: skip
CLIENT_RECONNECTS: Final = Measure(
    "counter", "kafka_client_reconnects_total", "connections", ("client",),
    "Connections to a broker that were tried anew after the first one.",
)  # fmt: skip
CLIENT_REBALANCES: Final = Measure(
    "counter", "kafka_client_rebalances_total", "rebalances", ("client",),
    "Times that the group gave out its partitions anew, as this member saw it; 0 for producers.",
    alert="UsercenterRebalances",
)  # fmt: skip

PROCESS: Final = (
    Measure("gauge", "process_virtual_memory_bytes", "bytes", (), "Virtual memory of the process."),
    Measure("gauge", "process_resident_memory_bytes", "bytes", (), "Resident memory of the process."),
    Measure("gauge", "process_start_time_seconds", "Unix time", (), "When the process began."),
    Measure("counter", "process_cpu_seconds_total", "seconds", (), "Processor time, user and system."),
    Measure("gauge", "process_open_fds", "files", (), "Open file descriptors."),
    Measure("gauge", "process_max_fds", "files", (), "The most file descriptors that it may open."),
    Measure("gauge", "python_info", "1", ("version", "implementation", "major", "minor", "patchlevel"), "The Python."),
    Measure("counter", "python_gc_objects_collected_total", "objects", ("generation",), "Collected garbage."),
    Measure("counter", "python_gc_objects_uncollectable_total", "objects", ("generation",), "Garbage that stays."),
    Measure("counter", "python_gc_collections_total", "collections", ("generation",), "Runs of the collector."),
)
"""What the client library for Prometheus says about any process, on Linux."""

OURS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Measure))
ALL: Final = OURS + PROCESS
