"""Today's code reads every event that was ever published; files of old versions are added to, never changed."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from usercenter.events import EVENTS, Registry, UserRegistered, encode, headers_of

REGISTRY = Registry(EVENTS)
FOLDER = Path(__file__).parent / "golden"
FILES = sorted(FOLDER.glob("*.json"))
OURS = [file for file in FILES if "other-producer" not in file.name]


def name(file):
    return file.stem


@pytest.mark.parametrize("file", FILES, ids=name)
def test_todays_code_reads_it_and_writes_an_equal_event(file):
    event = REGISTRY.decode(file.read_bytes())

    assert file.name.startswith(f"{event.type}-{event.version}")
    assert REGISTRY.decode(encode(event)) == event


@pytest.mark.parametrize("file", OURS, ids=name)
def test_todays_code_writes_exactly_what_it_read(file):
    assert json.loads(encode(REGISTRY.decode(file.read_bytes()))) == json.loads(file.read_bytes())


@pytest.mark.parametrize("type_", REGISTRY.classes())
def test_every_type_has_a_file_of_its_first_version(type_):
    assert (FOLDER / f"{type_}-1.0.json").exists()


@pytest.mark.parametrize("file", OURS, ids=name)
def test_todays_code_forgets_no_field_of_the_file(file):
    known = set(json.loads(file.read_bytes()))
    event_class = REGISTRY.classes()[json.loads(file.read_bytes())["type"]]

    assert known - {"type"} <= set(event_class.__struct_fields__)


def test_an_event_of_another_producer_is_read_without_our_optional_fields():
    event = REGISTRY.decode((FOLDER / "user.registered-1.0-other-producer.json").read_bytes())

    assert isinstance(event, UserRegistered)
    assert (event.actor, event.sequence, event.causation_id) == (None, None, None)
    assert event.occurred_at == datetime(2026, 11, 24, 18, 30, 0, 123456, tzinfo=UTC)
    assert event.first_name == "伟"
    assert event.data == {"channel": "app"}
    assert not hasattr(event, "registration_source")
    assert headers_of(event)["ce_source"] == "user-service"
