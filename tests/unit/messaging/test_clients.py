"""What the Kafka clients are told: the defaults of the design, and what the config changes in them."""

import confluent_kafka
import pytest
from msgspec.structs import replace

from usercenter.config.model import Consumer, Kafka, Producer
from usercenter.messaging.client import client_logger, consumer_settings, topics_by_stream
from usercenter.messaging.producer import is_permanent, may_concern_others, producer_settings

KAFKA = Kafka(brokers=["one:9092", "two:9092"])


def test_the_producer_is_durable_and_in_order_by_default() -> None:
    settings = producer_settings(KAFKA)
    assert settings["bootstrap.servers"] == "one:9092,two:9092"
    assert settings["acks"] == "all"
    assert settings["enable.idempotence"] is True
    assert (settings["retries"], settings["retry.backoff.ms"]) == (3, 100)
    assert (settings["batch.num.messages"], settings["batch.size"]) == (100, 1_000_000)
    assert (settings["compression.type"], settings["linger.ms"]) == ("snappy", 0)
    assert settings["partitioner"] == "murmur2_random"


def test_each_producer_setting_can_be_changed() -> None:
    changed = Producer(
        acks="1",
        is_idempotent=False,
        retries=9,
        retry_backoff_ms=7,
        batch_messages=5,
        batch_bytes=2_000,
        linger_ms=3,
        compression="zstd",
        delivery_timeout_ms=4_000,
    )
    before, after = producer_settings(KAFKA), producer_settings(replace(KAFKA, producer=changed))
    same = {name for name in before if before[name] == after[name]}
    assert same == {
        "allow.auto.create.topics",
        "bootstrap.servers",
        "client.id",
        "log.connection.close",
        "partitioner",
        "reconnect.backoff.ms",
        "reconnect.backoff.max.ms",
    }


def test_the_consumer_commits_nothing_that_was_only_seen() -> None:
    settings = consumer_settings(KAFKA, "usercenter")
    assert settings["enable.auto.offset.store"] is False
    assert (settings["enable.auto.commit"], settings["auto.commit.interval.ms"]) == (True, 1_000)
    assert settings["group.id"] == "usercenter"


def test_the_consumers_defaults_are_those_of_the_design() -> None:
    settings = consumer_settings(KAFKA, "usercenter")
    assert Consumer().auto_offset_reset == "latest"
    assert Consumer().batch_messages == 500
    assert (settings["queued.max.messages.kbytes"], settings["fetch.message.max.bytes"]) == (1_024, 65_536)
    assert settings["fetch.queue.backoff.ms"] < 100, "a full queue is emptied in less than the second that is usual"
    assert settings["partition.assignment.strategy"] == "roundrobin"
    assert (settings["session.timeout.ms"], settings["heartbeat.interval.ms"]) == (10_000, 3_000)


def test_a_missing_commit_never_means_the_end_of_the_topic() -> None:
    assert consumer_settings(KAFKA, "usercenter")["auto.offset.reset"] == "earliest"


def test_a_member_asks_for_its_coordinator_within_seconds_also_when_it_believes_to_know_it() -> None:
    settings = consumer_settings(KAFKA, "usercenter")
    assert settings["coordinator.query.interval.ms"] == 10_000
    confluent_kafka.Consumer({**settings, "bootstrap.servers": "127.0.0.1:1"}).close()  # it knows the name


def test_with_the_brokers_own_protocol_the_broker_decides_about_sessions() -> None:
    settings = consumer_settings(replace(KAFKA, consumer=Consumer(group_protocol="consumer")), "usercenter")
    assert settings["group.protocol"] == "consumer"
    assert not {"partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"} & set(settings)


@pytest.mark.parametrize("settings", [producer_settings(KAFKA), consumer_settings(KAFKA, "usercenter")])
def test_further_settings_of_the_client_library_reach_it(settings: dict[str, object]) -> None:
    assert "security.protocol" not in settings
    secured = replace(KAFKA, librdkafka={"security.protocol": "ssl"})
    assert producer_settings(secured)["security.protocol"] == "ssl"
    assert consumer_settings(secured, "usercenter")["security.protocol"] == "ssl"


def test_the_client_library_takes_all_of_it() -> None:
    kafka = replace(KAFKA, brokers=["127.0.0.1:1"])
    confluent_kafka.Producer(producer_settings(kafka) | {"log_level": 0})
    for protocol in ("classic", "consumer"):
        settings = consumer_settings(replace(kafka, consumer=Consumer(group_protocol=protocol)), "usercenter")
        confluent_kafka.Consumer(settings | {"log_level": 0}).close()


@pytest.mark.parametrize(
    ("name", "permanent", "of_batch"),
    [
        ("MSG_SIZE_TOO_LARGE", True, True),
        ("INVALID_RECORD", True, True),
        ("_INVALID_ARG", True, False),
        ("INVALID_MSG", False, False),  # a checksum that went wrong on the way
        ("_MSG_TIMED_OUT", False, False),
        ("_TRANSPORT", False, False),
        ("NOT_ENOUGH_REPLICAS", False, False),
        ("TOPIC_AUTHORIZATION_FAILED", False, False),
        ("UNKNOWN_TOPIC_OR_PART", False, False),
        ("_FATAL", False, False),
    ],
)
def test_only_what_is_wrong_with_the_message_itself_is_given_up(name: str, permanent: bool, of_batch: bool) -> None:
    error = confluent_kafka.KafkaError(getattr(confluent_kafka.KafkaError, name))
    assert (is_permanent(error), may_concern_others(error)) == (permanent, of_batch)


def test_every_stream_has_a_topic_and_one_for_its_dead_letters() -> None:
    assert topics_by_stream(KAFKA) == {
        "user_events": "user.events",
        "user_events.dlq": "user.events.dlq",
        "user_notifications": "user.notifications",
        "user_notifications.dlq": "user.notifications.dlq",
        "user_analytics": "user.analytics",
        "user_analytics.dlq": "user.analytics.dlq",
    }


def test_a_broker_that_is_not_there_is_logged_now_and_then_and_not_each_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = "FAIL [rdkafka#consumer-%d] [thrd:a:9092/1]: a:9092/1: Connect failed (after %dms in state CONNECT)"
    for client in range(50):
        client_logger().error(line, client, client * 7)
    client_logger().error("FAIL [rdkafka#consumer-1] [thrd:b:9092/2]: b:9092/2: Connect failed")
    assert len(caplog.records) == 2
