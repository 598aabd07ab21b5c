"""The two files in configs/ say what the model says."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from usercenter import config as public
from usercenter.config import Config, ConfigInvalid, load
from usercenter.config.leaves import leaves

CONFIGS = Path(__file__).parents[3] / "configs"


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        is_section = isinstance(value, dict) and f"{prefix}{name}" not in leaves()
        found |= flat(value, f"{prefix}{name}.") if is_section else {f"{prefix}{name}": value}
    return found


def test_config_yaml_names_every_key_with_its_default_and_is_embedded():
    written = flat(yaml.safe_load((CONFIGS / "config.yaml").read_text()))
    defaults = {key: leaf.default for key, leaf in leaves().items()}
    assert written == defaults | {"embedded.is_enabled": True}


def test_config_yaml_loads_as_it_stands():
    loaded = load(CONFIGS / "config.yaml", {})
    assert loaded.config.embedded.is_enabled
    assert {source.kind for source in loaded.sources.values()} == {"file"}


def test_config_yaml_begins_with_kafka_in_the_order_that_operators_look_for():
    tree = yaml.safe_load((CONFIGS / "config.yaml").read_text())
    assert next(iter(tree)) == "kafka"
    assert list(tree["kafka"])[:5] == ["brokers", "topics", "group_id", "client_id", "producer"]


def test_production_yaml_loads_once_the_addresses_and_secrets_are_given(tmp_path, signing_key):
    (tmp_path / "key").write_text(signing_key)
    (tmp_path / "url").write_text("postgresql://usercenter:pw@db:5432/usercenter\n")
    environ = {
        "USERCENTER_KAFKA__BROKERS": "kafka-1:9092,kafka-2:9092,kafka-3:9092",
        "USERCENTER_DATABASE__URL_FILE": str(tmp_path / "url"),
        "USERCENTER_TOKENS__PRIVATE_KEY_FILE": str(tmp_path / "key"),
        "USERCENTER_MAIL__HOST": "smtp.example.com",
    }
    config = load(CONFIGS / "production.yaml", environ).config
    assert not config.embedded.is_enabled
    assert config.accounts.refuse_common_passwords
    assert config.kafka.new_topics.replication_factor == 3
    assert config.server.host == "0.0.0.0"  # noqa: S104 - what a container needs
    assert config.tokens.private_key == signing_key.rstrip("\n")


def test_production_yaml_says_what_is_missing():
    with pytest.raises(ConfigInvalid) as refused:
        load(CONFIGS / "production.yaml", {})
    missing = {problem.key for problem in refused.value.problems}
    assert missing == {"kafka.brokers", "database.url", "mail.host", "tokens.private_key"}


def test_production_yaml_names_in_its_comments_only_variables_that_exist():
    words = {
        word.strip(",")
        for line in (CONFIGS / "production.yaml").read_text().splitlines()
        for word in line.split()
        if word.startswith("USERCENTER_")
    }
    known = {leaf.variable for leaf in leaves().values()}
    assert words
    assert {word.removesuffix("_FILE") for word in words} <= known


def test_the_public_face_is_small():
    assert sorted(public.__all__) == ["Config", "ConfigInvalid", "Loaded", "load"]
    assert public.Config is Config
