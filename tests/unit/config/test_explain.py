import json

import pytest

from usercenter.config.explain import mask_url, rows, to_json

SECRETS = {
    "USERCENTER_DATABASE__URL": "postgresql://me:hunter2@db:5432/usercenter?sslmode=require",
    "USERCENTER_CACHE__URL": "redis://:hunter2@cache:6379/0",
    "USERCENTER_MAIL__USERNAME": "me",
    "USERCENTER_MAIL__PASSWORD": "hunter2",
    "USERCENTER_KAFKA__LIBRDKAFKA": '{"sasl.username": "me", "sasl.password": "hunter2", "ssl.key.pem": "hunter2"}',
}


def test_every_setting_is_shown_with_its_value_and_source(load_text, config_file):
    found = {row.key: row for row in rows(load_text("kafka:\n  brokers: [a:1, b:2]\nmail: {port: 25}\n"))}
    assert list(found) == list(load_text().sources)
    assert (found["kafka.brokers"].value, found["kafka.brokers"].source) == ("a:1, b:2", f"{config_file}:2")
    assert (found["mail.port"].value, found["mail.port"].source) == ("25", f"{config_file}:3")
    assert (found["kafka.producer.is_idempotent"].value, found["kafka.producer.is_idempotent"].source) == (
        "true",
        "default",
    )
    assert (found["extensions"].value, found["kafka.librdkafka"].value, found["cache.url"].value) == ("", "{}", "")


def test_secrets_are_masked(load_text, signing_key):
    loaded = load_text("", SECRETS | {"USERCENTER_TOKENS__PRIVATE_KEY": signing_key})
    found = {row.key: row.value for row in rows(loaded)}
    assert found["mail.password"] == "********"
    assert found["tokens.private_key"] == "********"
    assert found["database.url"] == "postgresql://me:********@db:5432/usercenter?sslmode=require"
    assert found["cache.url"] == "redis://:********@cache:6379/0"
    assert json.loads(found["kafka.librdkafka"]) == {
        "sasl.username": "me",
        "sasl.password": "********",
        "ssl.key.pem": "********",
    }


def test_the_json_has_values_as_they_are_and_no_secret(load_text):
    text = to_json(load_text("", SECRETS))
    assert "hunter2" not in text
    found = json.loads(text)
    assert found["server.port"] == {"value": 8080, "source": "default"}
    assert found["mail.password"] == {"value": "********", "source": "USERCENTER_MAIL__PASSWORD"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://db/x", "postgresql://db/x"),
        ("postgresql://me@db:5432/x", "postgresql://me@db:5432/x"),
        ("postgresql://me:a@b:c/d@db/x", "postgresql://me:********@db/x"),
        ("postgresql://db/x?password=pw&sslmode=require", "postgresql://db/x?password=********&sslmode=require"),
        ("postgresql://db/x?user=me&sslpassword=pw", "postgresql://db/x?user=me&sslpassword=********"),
        ("redis://:pw@h", "redis://:********@h"),
        ("host=db password=pw", "********"),
    ],
)
def test_of_a_url_only_the_password_is_masked(url, shown):
    assert mask_url(url) == shown
