import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from usercenter.config.addresses import broker_fault, database_fault
from usercenter.config.checks import complaints
from usercenter.config.model import Config, Embedded, Mail, Sms


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "kafka: {consumer: {session_timeout_ms: 6000}}",
            (
                "kafka.consumer.heartbeat_interval_ms: 3000 is more than a third of session_timeout_ms (6000); "
                "allowed: up to 2000, or a longer kafka.consumer.session_timeout_ms"
            ),
        ),
        (
            "kafka: {producer: {acks: '1'}}",
            "kafka.producer.acks: 1 given, but kafka.producer.is_idempotent: true needs acks: all",
        ),
        (
            "kafka: {producer: {linger_ms: 5000, delivery_timeout_ms: 5000}}",
            "kafka.producer.linger_ms: 5000 given; allowed: less than delivery_timeout_ms (5000)",
        ),
        (
            "tasks: {first_retry_ms: 2001, longest_retry_seconds: 2}",
            "tasks.first_retry_ms: 2001 given; allowed: up to longest_retry_seconds (2)",
        ),
        ("database: {pool_min: 11}", "database.pool_min: 11 given; allowed: up to database.pool_max (10)"),
        (
            "database: {url: 'mysql://h/x'}",
            "database.url: does not begin with postgresql://; allowed: postgresql://user:password@host:5432/name",
        ),
        (
            "tracing: {endpoint: 'collector:4318'}",
            'tracing.endpoint: allowed: the whole address, such as http://collector:4318/v1/traces; "" for no traces',
        ),
        ("cache: {url: 'h:6379'}", 'cache.url: allowed: redis://host:6379/0, or rediss:// with TLS; "" for none'),
        (
            "kafka: {topics: {user_events: a, user_analytics: a}}",
            "kafka.topics.user_analytics: a is the topic of kafka.topics.user_events too; name another",
        ),
        (
            "kafka: {topics: {user_events: a.dlq}}",
            "kafka.topics.user_events: a.dlq ends in .dlq, which is kept for dead letters; name another",
        ),
        (
            "kafka: {brokers: [a:1, b]}",
            "kafka.brokers: entry 2, 'b', has no port; allowed: host:port, or [IPv6]:port",
        ),
        (
            "kafka: {librdkafka: {group.id: x}}",
            "kafka.librdkafka: group.id cannot be set here; set kafka.group_id instead",
        ),
        (
            "kafka: {librdkafka: {enable.auto.offset.store: 'true'}}",
            "kafka.librdkafka: enable.auto.offset.store cannot be set here; remove it, nothing is lost only as it is",
        ),
        (
            "mail: {username: me}",
            (
                "mail.password: empty, but mail.username is given; "
                "set USERCENTER_MAIL__PASSWORD or USERCENTER_MAIL__PASSWORD_FILE"
            ),
        ),
        ("mail: {sender: me}", "mail.sender: has no @; allowed: an address, or a name with <address> behind it"),
        (
            "mail: {public_url: localhost}",
            "mail.public_url: allowed: http://… or https://…, as users reach the service",
        ),
        (
            "accounts: {password_min_length: 100, password_max_length: 64}",
            "accounts.password_min_length: 100 given; allowed: up to accounts.password_max_length (64)",
        ),
        (
            "accounts: {default_time_zone: Mars/Olympus}",
            (
                "accounts.default_time_zone: 'Mars/Olympus' given; "
                "allowed: an IANA name such as UTC, Asia/Shanghai, Europe/Berlin"
            ),
        ),
    ],
)
def test_settings_that_cannot_stand_together_are_refused(problems_of, text, problem):
    assert problems_of(text) == [f"config.yaml:1: {problem}"]


@pytest.mark.parametrize(
    "text",
    [
        "kafka: {producer: {acks: '1', is_idempotent: false}}",
        "kafka: {consumer: {session_timeout_ms: 9000}}",
        "database: {pool_min: 10}",
        "cache: {url: 'rediss://:pw@h:6379/1'}",
        "mail: {username: me, password: pw}",
        "server: {host: 0.0.0.0}",
        "accounts: {default_time_zone: Asia/Shanghai}",
        "kafka: {librdkafka: {security.protocol: SSL}}",
    ],
)
def test_settings_that_can_stand_together_are_taken(load_text, text):
    load_text(text)


def test_a_setting_that_is_refused_already_is_not_judged_with_others(problems_of):
    [line] = problems_of("database: {pool_min: 11, pool_max: many}")
    assert "database.pool_max" in line


@pytest.mark.parametrize("zone", ["../UTC", "/etc/passwd", "America", "utc "])
def test_no_strange_path_passes_for_a_time_zone(problems_of, zone):
    [line] = problems_of(f"accounts: {{default_time_zone: '{zone}'}}")
    assert "accounts.default_time_zone" in line


def test_where_nothing_is_embedded_every_address_is_needed_and_the_cache_is_not(problems_of):
    lines = problems_of("", is_embedded=False)
    assert [line.split(": ")[1] for line in lines] == [
        "kafka.brokers",
        "database.url",
        "mail.host",
        "tokens.private_key",
    ]
    assert lines[0] == (
        "config.yaml: kafka.brokers: empty, and nothing is embedded; set USERCENTER_KAFKA__BROKERS=host:9092, "
        "or write embedded.is_enabled: true to have one made here"
    )
    assert "USERCENTER_TOKENS__PRIVATE_KEY_FILE" in lines[3]


def test_with_all_addresses_nothing_needs_to_be_embedded(load_text, signing_key):
    environ = {
        "USERCENTER_KAFKA__BROKERS": "kafka:9092",
        "USERCENTER_DATABASE__URL": "postgresql://me@db/usercenter",
        "USERCENTER_MAIL__HOST": "smtp",
        "USERCENTER_TOKENS__PRIVATE_KEY": signing_key,
    }
    assert load_text("", environ, is_embedded=False).config.cache.url == ""


def strange_keys() -> list[str]:
    ed25519 = Ed25519PrivateKey.generate()
    pkcs8 = (Encoding.PEM, PrivateFormat.PKCS8)
    pem = ed25519.private_bytes(*pkcs8, NoEncryption()).decode()
    return [
        generate_private_key(SECP256R1()).private_bytes(*pkcs8, NoEncryption()).decode(),
        ed25519.private_bytes(*pkcs8, BestAvailableEncryption(b"secret")).decode(),
        ed25519.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        pem.replace("\n", "\\n"),
        pem[:60],
        "no key at all",
    ]


@pytest.mark.parametrize("key", strange_keys(), ids=["EC", "encrypted", "public", "one line", "cut off", "text"])
def test_another_key_than_ed25519_is_refused_unseen_and_told_how_to_make_one(problems_of, key):
    [line] = problems_of("", {"USERCENTER_TOKENS__PRIVATE_KEY": key})
    assert line.startswith("USERCENTER_TOKENS__PRIVATE_KEY: tokens.private_key: no unencrypted Ed25519 private key")
    assert "openssl genpkey -algorithm ed25519" in line
    assert key[30:] not in line or key == "no key at all"


@pytest.mark.parametrize("address", ["a:1", "kafka-1.example.com:65535", "10.0.0.1:9092", "[::1]:9092", "k_1:9092"])
def test_a_host_with_a_port_is_a_broker(address):
    assert broker_fault(address) is None


@pytest.mark.parametrize(
    "address",
    ["", "a", "a:", ":9092", "a:0", "a:65536", "a:x", "a: 9", "a b:1", "a:٣", "::1:9092", "[::1]", "[x]:1", "[]:1",
     "PLAINTEXT://a:1", "a:1,b:2", "a:1/x", "-:1"],
)  # fmt: skip
def test_anything_else_is_no_broker(address):
    assert broker_fault(address)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@db/usercenter",
        "postgresql://me:p%40ss@db:5432/usercenter?sslmode=require",
        "postgresql://me@a:5432,b:5433/usercenter",
        "postgresql://me@[::1]:5432/usercenter",
        "postgresql:///usercenter?host=/run/postgresql",
        "postgresql://me@[::1]/usercenter",
    ],
)
def test_a_url_that_libpq_reads_is_taken(url):
    assert database_fault(url) is None


@pytest.mark.parametrize(
    "url",
    ["postgres://db/x", "db:5432", "postgresql://db:99999/x", "postgresql://me:p/w@db/x", "postgresql://db/x\n"],
)
def test_a_url_that_leads_nowhere_is_refused(url):
    assert database_fault(url)


@pytest.mark.parametrize("path", ["reset", "/reset?x=1", "/re set", "https://elsewhere.example/reset"])
def test_the_page_of_a_link_is_a_path(path):
    complaint = next(iter(complaints(Config(mail=Mail(reset_password_path=path), embedded=Embedded(is_enabled=True)))))
    assert complaint.keys == ("mail.reset_password_path",)


def test_an_sms_provider_needs_an_account_and_a_sender():
    config = Config(sms=Sms(base_url="api.twilio.com"), embedded=Embedded(is_enabled=True))
    found = {complaint.keys[0] for complaint in complaints(config)}
    assert found == {"sms.base_url", "sms.account_sid", "sms.auth_token", "sms.sender"}
