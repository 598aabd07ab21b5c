"""Every setting, its type, its default and its bounds, in one place.

The names of the fields are the keys of `configs/config.yaml`. A bound written here (`Meta`) is checked by
`usercenter.config.loading` and quoted in the error that an impossible value gets.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65535)]
"""A TCP port; 0 asks the system for a free one where a part of ours listens."""
Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
Text = Annotated[str, Meta(min_length=1)]
TopicName = Annotated[str, Meta(min_length=1, max_length=245, pattern=r"^[a-zA-Z0-9._-]+\Z")]
Secret = Annotated[str, Meta(extra={"secret": True})]
"""Never printed, never logged; may come from a file through the `…_FILE` environment variables."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all sections share: immutable, an unknown key is an error, and no secret is in the `repr`."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What `repr` and rich show; free mappings are masked whole, for they may hold passwords."""
        masked = {field.name for field in msgspec.structs.fields(self) if field.type in (Secret, dict[str, str])}
        facts = msgspec.structs.asdict(self).items()
        return [(name, "********" if value and name in masked else value) for name, value in facts]


class Topics(Settings, frozen=True):
    """The names of the three topics on the broker; dead letters go to the same name with `.dlq` behind it."""

    user_events: TopicName = "user.events"
    user_notifications: TopicName = "user.notifications"
    user_analytics: TopicName = "user.analytics"


class NewTopics(Settings, frozen=True):
    """How a topic that is missing at the start is created."""

    partitions: Positive = 3
    replication_factor: Positive = 1
    min_insync_replicas: Positive = 1
    """How many replicas must have a record before it counts as acknowledged."""


class Producer(Settings, frozen=True):
    """How events are sent: durable and in order by default."""

    acks: Literal["all", "1", "0"] = "all"
    is_idempotent: bool = True
    retries: Positive = 3
    retry_backoff_ms: Positive = 100
    batch_messages: Positive = 100
    batch_bytes: Annotated[int, Meta(ge=1_000, le=100_000_000)] = 1_000_000
    linger_ms: Annotated[int, Meta(ge=0, le=10_000)] = 0
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "snappy"
    delivery_timeout_ms: Annotated[int, Meta(ge=1_000, le=600_000)] = 30_000
    """How long one send may stay without an acknowledgement; then the relay tries again, in order."""


class Consumer(Settings, frozen=True):
    """How events are received by every group of ours."""

    auto_offset_reset: Literal["latest", "earliest"] = "latest"
    """Where a group begins that has never committed anything; its start is pinned at once."""
    assignment_strategy: Literal["roundrobin", "range", "cooperative-sticky"] = "roundrobin"
    group_protocol: Literal["classic", "consumer"] = "classic"
    session_timeout_ms: Annotated[int, Meta(ge=1_000, le=300_000)] = 10_000
    """At most librdkafka's own `max.poll.interval.ms`, or no consumer starts."""
    heartbeat_interval_ms: Annotated[int, Meta(ge=100, le=600_000)] = 3_000
    auto_commit_interval_ms: Annotated[int, Meta(ge=100, le=60_000)] = 1_000
    batch_messages: Annotated[int, Meta(ge=1, le=10_000)] = 500
    prefetch_kbytes: Annotated[int, Meta(ge=64, le=1_048_576)] = 1_024
    """How much each group's consumer reads ahead of the batch in hand; a fetch brings a 16th of it per partition."""
    crashes: Annotated[int, Meta(ge=1, le=100)] = 3
    """An event in whose handling so many processes ended is not handled any more; it becomes a dead letter."""


class Kafka(Settings, frozen=True):
    """The brokers, what is read and written there, and how."""

    brokers: list[Text] = []
    """`host:port` of one or more brokers; empty takes the embedded broker."""
    client_id: Text = "usercenter"
    group_id: Text = "usercenter"
    topics: Topics = Topics()
    new_topics: NewTopics = NewTopics()
    producer: Producer = Producer()
    consumer: Consumer = Consumer()
    librdkafka: dict[str, str] = {}
    """Further librdkafka settings for every client (TLS, SASL …), passed on as they stand."""


class Relay(Settings, frozen=True):
    """The way from the outbox to Kafka."""

    batch_messages: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    idle_poll_ms: Annotated[int, Meta(ge=1, le=60_000)] = 200
    """How often the outbox is looked at when nothing in this process woke the relay."""
    lease_seconds: Annotated[int, Meta(ge=2, le=600)] = 15
    """How long a relay that died keeps its shards."""


class Tasks(Settings, frozen=True):
    """The runner of the work in the outside world."""

    concurrent_lanes: Annotated[int, Meta(ge=1, le=10_000)] = 64
    window: Annotated[int, Meta(ge=10, le=100_000)] = 2_000
    """How many tasks one runner holds in memory at most."""
    idle_poll_ms: Annotated[int, Meta(ge=1, le=60_000)] = 200
    lease_seconds: Annotated[int, Meta(ge=2, le=600)] = 15
    attempts: Annotated[int, Meta(ge=1, le=100)] = 16
    """How often a task is tried before it becomes a dead letter."""
    first_retry_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = 1_000
    """The wait after the first failure; it doubles with each further one (with jitter)."""
    longest_retry_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 3_600
    breaker_failures: Annotated[int, Meta(ge=1, le=1_000)] = 10
    """After failures of so many users in a row, without a success between them, a handler is left alone for a while."""
    breaker_seconds: Annotated[int, Meta(ge=1, le=3_600)] = 30
    """How long at first; it doubles as long as it does not help."""
    breaker_longest_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 300


class Limits(Settings, frozen=True):
    """How much may fail before a group stops itself, and waits for `usercenter groups resume`."""

    dead_in_a_row: Positive = 50
    """Dead letters without any success between them; for a group, and for each handler of tasks."""
    failed_percent: Annotated[int, Meta(ge=1, le=100)] = 50
    """How many of the last events of a group may be parked or dead letters …"""
    window_events: Positive = 100
    """… once there are so many of them …"""
    window_seconds: Positive = 60
    """… within so long."""
    parked_users: Positive = 1_000
    """So many users may be parked for one record handler."""


class Retention(Settings, frozen=True):
    """How long finished things stay provable; the inbox must outlive the topics' own retention."""

    inbox_days: Positive = 30
    idempotency_key_hours: Positive = 24
    login_log_days: Positive = 365
    sessions_days: Positive = 30
    """After the day on which a session expires, or would have if it had not been ended before."""


class Monitoring(Settings, frozen=True):
    """How the service watches itself, beside what it sees anyway."""

    books_every_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 300
    """How often events are counted that are nowhere (`usercenter_unaccounted_events`); 0 never."""
    books_hours: Annotated[int, Meta(ge=1, le=720)] = 24
    """How far back; the longer, the more of event_log is read each time."""
    kafka_every_seconds: Annotated[int, Meta(ge=0, le=3_600)] = 15
    """How often one worker looks at brokers, topics and groups for the commands that show them; 0 never."""


class Database(Settings, frozen=True):
    """PostgreSQL, where everything is kept."""

    url: Secret = ""
    """`postgresql://user@host:5432/name`; empty takes the embedded PostgreSQL."""
    pool_min: NotNegative = 2
    pool_max: Positive = 10
    pool_timeout_seconds: Positive = 5
    """How long a request waits for a connection before it is answered 503."""
    answer_timeout_seconds: Annotated[int, Meta(ge=1, le=3_600)] = 30
    """How long a statement may go without an answer before its connection is given up: a frozen server says nothing."""


class Cache(Settings, frozen=True):
    """Valkey or Redis, a copy that may be lost at any time."""

    url: Secret = ""
    """`redis://host:6379/0` of Valkey or Redis; empty takes the embedded Valkey, or none where nothing is embedded."""
    ttl_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 60
    """How long a copy lives; also the longest that a change can stay unseen if the cache could not be told of it."""
    session_seconds: Annotated[int, Meta(ge=0, le=60)] = 2
    """How long an API process may take a session for granted while the cache tells it of each end; 0: never."""


class Analytics(Settings, frozen=True):
    """The statistics."""

    time_zone: Text = "UTC"
    """Where days begin at midnight."""


class Mail(Settings, frozen=True):
    """The mail server, and what the mails say about their sender."""

    host: str = ""
    """The SMTP server; empty takes the embedded mail catcher."""
    port: Port = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password: Secret = ""
    sender: Text = "usercenter <no-reply@usercenter.example>"
    reply_to: str = ""
    timeout_seconds: Positive = 20
    connections: Annotated[int, Meta(ge=1, le=100)] = 4
    product_name: Text = "usercenter"
    public_url: Text = "http://localhost:8080"
    reset_password_path: Text = "/reset-password"  # noqa: S105  # a path
    """The page behind `public_url` that the link of a password reset leads to; it gets `?token=…`."""
    confirm_email_path: Text = "/confirm-email"
    """The page that confirms a new address; it gets `?token=…`."""
    forgot_password_path: Text = "/forgot-password"  # noqa: S105  # a path
    """The page where somebody asks for a password reset: "this was not me" leads there."""
    support_address: str = ""


class Sms(Settings, frozen=True):
    """The provider of text messages; any that speaks the shape of Twilio's REST API."""

    base_url: str = ""
    """`https://api.twilio.com`; empty takes the embedded catcher, or no SMS where nothing is embedded."""
    account_sid: str = ""
    auth_token: Secret = ""
    sender: str = ""
    """A number (E.164), a name, or the id of a messaging service (`MG…`)."""
    timeout_seconds: Positive = 10
    connections: Annotated[int, Meta(ge=1, le=100)] = 4


class Webhooks(Settings, frozen=True):
    """Signed calls to other systems."""

    allowed_hosts: list[Text] = []
    """Hosts, by name as in the URL, that may be called although they are not public, and without TLS."""
    timeout_seconds: Annotated[int, Meta(ge=1, le=120)] = 15
    """How long one call may take in all."""
    concurrent_per_receiver: Annotated[int, Meta(ge=1, le=1_000)] = 16
    """How many calls one process makes to one receiver at a time, so that a slow one does not hold up the others."""
    deliveries_days: Positive = 30
    """How long attempts are kept."""


class Accounts(Settings, frozen=True):
    """The rules for accounts, and what a new one starts with."""

    password_min_length: Annotated[int, Meta(ge=8, le=128)] = 8
    password_max_length: Annotated[int, Meta(ge=64, le=1024)] = 128
    refuse_common_passwords: bool = False
    default_locale: Literal["en", "zh-CN"] = "en"
    default_time_zone: Text = "UTC"


class Recovery(Settings, frozen=True):
    """How often mails about forgotten passwords may be asked for."""

    mails_per_account_hour: Annotated[int, Meta(ge=1, le=1_000)] = 5
    """More are not sent, and whoever asks is answered as ever."""
    requests_per_network_hour: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    """Of one IPv4 address or one IPv6 /64, for any accounts; more are refused (429)."""


class Logins(Settings, frozen=True):
    """When a login is suspicious, what is known about addresses, and how many wrong passwords there may be."""

    geoip_file: str = ""
    """A MaxMind DB with countries, and better with coordinates; empty: the rules that need them say nothing."""
    suspicious_score: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """From this score on, the user gets a security mail and the session is marked."""
    keep_failures_hours: Annotated[int, Meta(ge=1, le=8760)] = 24
    """How long failed logins are remembered; the rules look 15 minutes back."""
    wrong_passwords_per_name: Annotated[int, Meta(ge=1, le=1_000)] = 10
    """For one username or one address within 15 minutes, whoever tries; then its guesses are refused (429)."""
    wrong_passwords_per_network: Annotated[int, Meta(ge=1, le=10_000)] = 200
    """From one IPv4 address or one IPv6 /64 within 15 minutes, for any names; then its guesses are refused (429)."""


class Tokens(Settings, frozen=True):
    """How sessions are signed, and how long they last."""

    private_key: Secret = ""
    """Ed25519 private key, PEM (PKCS #8): signs access tokens. Embedded parts make their own where it is empty."""
    issuer: Text = "usercenter"
    access_minutes: Annotated[int, Meta(ge=1, le=1440)] = 15
    refresh_days: Annotated[int, Meta(ge=1, le=365)] = 30


class Server(Settings, frozen=True):
    """The HTTP server, and how the process ends."""

    host: Text = "127.0.0.1"
    port: Port = 8080
    monitoring_port: Port = 8081
    """Where a process without the `api` role answers /live, /ready, /health and /metrics."""
    max_body_bytes: Annotated[int, Meta(ge=1_024, le=10_000_000)] = 65_536
    max_import_bytes: Annotated[int, Meta(ge=1_024)] = 100_000_000
    """The largest file of a bulk import through HTTP; the command `usercenter user import` knows no limit."""
    concurrent_exports: Positive = 2
    """How many exports one process makes at a time; each holds a database connection. More are answered 429."""
    trusted_proxies: list[Text] = []
    """Addresses whose `X-Forwarded-For` is believed."""
    stop_seconds: Annotated[int, Meta(ge=1, le=600)] = 20
    """How long a graceful stop may take in all."""


LoggedRequests = Literal["all", "changes", "failures"]


class Logging(Settings, frozen=True):
    """What is logged, and where to."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    file: str = "logs/usercenter.log"
    """Rotating JSON log; empty writes to stderr alone."""
    max_bytes: Annotated[int, Meta(ge=10_000)] = 50_000_000
    backups: NotNegative = 5
    each_event_up_to: NotNegative = 20
    """Kafka batches up to this size are logged message by message, larger ones by one line."""
    requests: LoggedRequests = "changes"
    """Which HTTP requests get a line: `changes` leaves out reads that went well, `failures` all that went well."""


class Tracing(Settings, frozen=True):
    """Traces, for an OpenTelemetry collector; `pip install 'usercenter[otel]'`."""

    endpoint: str = ""
    """Where spans are sent by OTLP over HTTP, http://collector:4318/v1/traces; empty: nothing is traced."""
    sample_ratio: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Which part of the traces that begin here is kept; one that a client has begun is kept if the client keeps it."""
    service_name: Text = "usercenter"


class EmbeddedKafka(Settings, frozen=True):
    """Apache Kafka on this machine: one broker, or a cluster whose brokers may fail one by one."""

    brokers: Annotated[int, Meta(ge=1, le=3)] = 1
    """3: each is a controller as well, a new topic has three replicas, a record is acknowledged once two have it."""
    heap_mb: Annotated[int, Meta(ge=96, le=16_384)] = 384
    """Java's heap of all brokers together; a broker needs some 120 MB beside it."""


class Embedded(Settings, frozen=True):
    """The parts that are started on this machine, for laptops and tests."""

    is_enabled: bool = False
    """Start the stores that have no address in this file as embedded parts."""
    data_dir: Text = ".usercenter"
    kafka: EmbeddedKafka = EmbeddedKafka()


class Config(Settings, frozen=True):
    """The whole of `configs/config.yaml`."""

    kafka: Kafka = Kafka()
    relay: Relay = Relay()
    tasks: Tasks = Tasks()
    limits: Limits = Limits()
    retention: Retention = Retention()
    monitoring: Monitoring = Monitoring()
    database: Database = Database()
    cache: Cache = Cache()
    analytics: Analytics = Analytics()
    mail: Mail = Mail()
    sms: Sms = Sms()
    webhooks: Webhooks = Webhooks()
    accounts: Accounts = Accounts()
    recovery: Recovery = Recovery()
    logins: Logins = Logins()
    tokens: Tokens = Tokens()
    server: Server = Server()
    logging: Logging = Logging()
    tracing: Tracing = Tracing()
    extensions: list[Text] = []
    """Modules with a company's own events and handlers, each with an attribute `extension`."""
    embedded: Embedded = Embedded()
