"""What the settings must be to each other, and what no type can say about one."""

from collections.abc import Iterator

import msgspec

from usercenter.config.addresses import broker_fault, database_fault
from usercenter.config.leaves import leaves
from usercenter.config.model import Analytics, Config, Kafka, Sms, Tasks, Tracing


class Complaint(msgspec.Struct, frozen=True):
    """Settings that cannot stand together; the first key is the one to change."""

    keys: tuple[str, ...]
    text: str


def complaints(config: Config) -> Iterator[Complaint]:
    """Everything that is wrong with a configuration whose single values fit the model. Never shows a secret."""
    yield from _missing_addresses(config)
    yield from _kafka(config.kafka)
    yield from _topics(config.kafka)
    yield from _librdkafka(config.kafka)
    yield from _tasks(config.tasks)
    yield from _stores(config)
    yield from _mail(config)
    yield from _sms(config.sms)
    yield from _accounts(config)
    yield from _geoip(config)
    yield from _signing_key(config)
    yield from _analytics(config.analytics)
    yield from _tracing(config.tracing)


_NEEDED = {
    "kafka.brokers": "set {variable}=host:9092",
    "database.url": "set {variable}=postgresql://user@host:5432/name, or name its file in {variable}_FILE",
    "mail.host": "set {variable}=smtp.example.com",
    "tokens.private_key": "name its file in {variable}_FILE",
}
"""What only the operator knows where nothing is embedded; `cache.url` may stay empty, then there is no cache."""


def _analytics(analytics: Analytics) -> Iterator[Complaint]:
    if not _is_time_zone(analytics.time_zone):
        text = f"{analytics.time_zone!r} given; allowed: an IANA name such as UTC, Asia/Shanghai, Europe/Berlin"
        yield Complaint(("analytics.time_zone",), text)


def _tracing(tracing: Tracing) -> Iterator[Complaint]:
    if tracing.endpoint and not tracing.endpoint.startswith(("http://", "https://")):
        text = 'allowed: the whole address, such as http://collector:4318/v1/traces; "" for no traces'
        yield Complaint(("tracing.endpoint",), text)


def _missing_addresses(config: Config) -> Iterator[Complaint]:
    for key, advice in _NEEDED.items():
        if not leaves()[key].of(config) and not config.embedded.is_enabled:
            do = advice.format(variable=leaves()[key].variable)
            text = f"empty, and nothing is embedded; {do}, or write embedded.is_enabled: true to have one made here"
            yield Complaint((key, "embedded.is_enabled"), text)


def _kafka(kafka: Kafka) -> Iterator[Complaint]:
    producer, consumer = kafka.producer, kafka.consumer
    for number, broker in enumerate(kafka.brokers):
        if fault := broker_fault(broker):
            yield Complaint(("kafka.brokers",), f"entry {number + 1}, {broker!r}, {fault}")
    if consumer.heartbeat_interval_ms * 3 > consumer.session_timeout_ms:
        text = f"{consumer.heartbeat_interval_ms} is more than a third of session_timeout_ms"
        most = f"allowed: up to {consumer.session_timeout_ms // 3}, or a longer kafka.consumer.session_timeout_ms"
        keys = ("kafka.consumer.heartbeat_interval_ms", "kafka.consumer.session_timeout_ms")
        yield Complaint(keys, f"{text} ({consumer.session_timeout_ms}); {most}")
    if producer.is_idempotent and producer.acks != "all":
        text = f"{producer.acks} given, but kafka.producer.is_idempotent: true needs acks: all"
        yield Complaint(("kafka.producer.acks", "kafka.producer.is_idempotent"), text)
    if producer.linger_ms >= producer.delivery_timeout_ms:
        text = f"{producer.linger_ms} given; allowed: less than delivery_timeout_ms ({producer.delivery_timeout_ms})"
        yield Complaint(("kafka.producer.linger_ms", "kafka.producer.delivery_timeout_ms"), text)


def _topics(kafka: Kafka) -> Iterator[Complaint]:
    owners: dict[str, str] = {}
    for field in msgspec.structs.fields(kafka.topics):
        key, topic = f"kafka.topics.{field.name}", getattr(kafka.topics, field.name)
        if topic in owners:
            yield Complaint((key, owners[topic]), f"{topic} is the topic of {owners[topic]} too; name another")
        if topic.endswith(".dlq"):
            yield Complaint((key,), f"{topic} ends in .dlq, which is kept for dead letters; name another")
        owners.setdefault(topic, key)


_OURS = {
    "bootstrap.servers": "kafka.brokers",
    "metadata.broker.list": "kafka.brokers",
    "client.id": "kafka.client_id",
    "group.id": "kafka.group_id",
    "acks": "kafka.producer.acks",
    "request.required.acks": "kafka.producer.acks",
    "enable.idempotence": "kafka.producer.is_idempotent",
    "enable.auto.commit": "",
    "enable.auto.offset.store": "",
}
"""librdkafka's names for what has a key of its own here, or (with no key) must stay as it is for nothing to be lost."""


def _librdkafka(kafka: Kafka) -> Iterator[Complaint]:
    for name in kafka.librdkafka:
        if name in _OURS:
            advice = f"set {_OURS[name]} instead" if _OURS[name] else "remove it, nothing is lost only as it is"
            yield Complaint(("kafka.librdkafka",), f"{name} cannot be set here; {advice}")


def _tasks(tasks: Tasks) -> Iterator[Complaint]:
    if tasks.first_retry_ms > tasks.longest_retry_seconds * 1000:
        text = f"{tasks.first_retry_ms} given; allowed: up to longest_retry_seconds ({tasks.longest_retry_seconds})"
        yield Complaint(("tasks.first_retry_ms", "tasks.longest_retry_seconds"), text)


def _stores(config: Config) -> Iterator[Complaint]:
    database = config.database
    if database.url and (fault := database_fault(database.url)):
        yield Complaint(("database.url",), f"{fault}; allowed: postgresql://user:password@host:5432/name")
    if config.cache.url and not config.cache.url.startswith(("redis://", "rediss://", "unix://")):
        yield Complaint(("cache.url",), 'allowed: redis://host:6379/0, or rediss:// with TLS; "" for none')
    if database.pool_min > database.pool_max:
        text = f"{database.pool_min} given; allowed: up to database.pool_max ({database.pool_max})"
        yield Complaint(("database.pool_min", "database.pool_max"), text)


def _mail(config: Config) -> Iterator[Complaint]:
    mail = config.mail
    if mail.username and not mail.password:
        text = "empty, but mail.username is given; set USERCENTER_MAIL__PASSWORD or USERCENTER_MAIL__PASSWORD_FILE"
        yield Complaint(("mail.password", "mail.username"), text)
    if "@" not in mail.sender:
        yield Complaint(("mail.sender",), "has no @; allowed: an address, or a name with <address> behind it")
    if not mail.public_url.startswith(("http://", "https://")):
        yield Complaint(("mail.public_url",), "allowed: http://… or https://…, as users reach the service")
    for name in ("reset_password_path", "confirm_email_path", "forgot_password_path"):
        path = getattr(mail, name)
        if not path.startswith("/") or any(character in path for character in "?# "):
            yield Complaint((f"mail.{name}",), f"{path!r} given; allowed: a path behind public_url, such as /reset")


def _sms(sms: Sms) -> Iterator[Complaint]:
    if not sms.base_url:
        return
    if not sms.base_url.startswith(("http://", "https://")):
        yield Complaint(("sms.base_url",), 'allowed: https://api.twilio.com or one of its shape; "" for no SMS')
    for name in ("account_sid", "auth_token", "sender"):
        if not getattr(sms, name):
            text = f"empty, but sms.base_url is given; set USERCENTER_SMS__{name.upper()}"
            yield Complaint((f"sms.{name}", "sms.base_url"), text)


def _accounts(config: Config) -> Iterator[Complaint]:
    accounts = config.accounts
    if accounts.password_min_length > accounts.password_max_length:
        text = f"{accounts.password_min_length} given; allowed: up to accounts.password_max_length"
        keys = ("accounts.password_min_length", "accounts.password_max_length")
        yield Complaint(keys, f"{text} ({accounts.password_max_length})")
    if not _is_time_zone(accounts.default_time_zone):
        text = f"{accounts.default_time_zone!r} given; allowed: an IANA name such as UTC, Asia/Shanghai, Europe/Berlin"
        yield Complaint(("accounts.default_time_zone",), text)


def _is_time_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _geoip(config: Config) -> Iterator[Complaint]:
    path = config.logins.geoip_file
    if path and (fault := _geoip_fault(path)):
        yield Complaint(("logins.geoip_file",), f"{path}: {fault}; name a .mmdb file, or none")


def _geoip_fault(path: str) -> str | None:
    import maxminddb

    try:
        maxminddb.open_database(path).close()
    except FileNotFoundError:
        return "there is no such file"
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        return f"cannot be read as a MaxMind DB ({error})"
    return None


def _signing_key(config: Config) -> Iterator[Complaint]:
    pem = config.tokens.private_key
    if pem and not _is_ed25519(pem):
        make = "make one with `openssl genpkey -algorithm ed25519 -out token-key.pem`"
        name = "name it in USERCENTER_TOKENS__PRIVATE_KEY_FILE (a variable itself must keep the line breaks)"
        yield Complaint(("tokens.private_key",), f"no unencrypted Ed25519 private key in PEM; {make} and {name}")


def _is_ed25519(pem: str) -> bool:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return isinstance(load_pem_private_key(pem.encode(), password=None), Ed25519PrivateKey)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
