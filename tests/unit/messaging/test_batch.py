"""What the bytes of a batch say, and what an id is made of where there is none."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from receiving import REGISTRY, login, message

from usercenter.events import encode
from usercenter.messaging.batch import read

FACTS = msgspec.json.decode(encode(login()))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.binary() | anything.map(msgspec.json.encode))
def test_any_bytes_are_an_event_or_unknown_or_broken(value: bytes) -> None:
    batch = read([message(value=value)], REGISTRY)

    assert len(batch.items) + len(batch.broken) + batch.unknown == 1


@given(st.sampled_from(sorted(FACTS)), anything)
def test_any_value_in_any_field_is_read_or_refused(field: str, value: object) -> None:
    batch = read([message(value=msgspec.json.encode(FACTS | {field: value}))], REGISTRY)

    assert len(batch.items) + len(batch.broken) + batch.unknown == 1
    for item in batch.items:
        item.event.occurred_at.astimezone(UTC)


@given(st.datetimes(timezones=st.timezones() | st.just(UTC)))
def test_a_moment_that_is_let_through_can_be_stored_and_read_everywhere(moment: datetime) -> None:
    batch = read([message(value=msgspec.json.encode(FACTS | {"timestamp": moment}))], REGISTRY)

    for item in batch.items:
        assert 1 < item.event.occurred_at.astimezone(UTC).year < 9999


@pytest.mark.parametrize("text", ["2026-07-01T00:00:00Z", "1970-01-01T00:00:00+14:00", "2026-07-01T00:00:00"])
def test_an_ordinary_moment_is_let_through(text: str) -> None:
    assert len(read([message(value=msgspec.json.encode(FACTS | {"timestamp": text}))], REGISTRY).items) == 1


def test_the_reason_names_the_field_and_not_its_value() -> None:
    batch = read([message(value=msgspec.json.encode(FACTS | {"timestamp": "9999-12-31T23:59:59-14:00"}))], REGISTRY)

    assert str(batch.broken[0].error) == "user.logged_in: no such moment can be stored - at `$.timestamp`"


def test_a_message_without_an_id_is_known_by_its_place_and_its_bytes() -> None:
    first = message(value=b"a", partition=1, offset=7)

    assert first.fallback_id == first._replace(key=b"other").fallback_id
    others = [
        first._replace(topic="t"),
        first._replace(partition=2),
        first._replace(offset=8),
        first._replace(value=b"b"),
    ]
    assert len({first.fallback_id, *(other.fallback_id for other in others)}) == 5


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_a_cloud_event_is_kept_in_our_form_and_reads_the_same_again(mode: str) -> None:
    attributes = {
        "specversion": "1.0",
        "id": "portal-42",
        "type": "user.logged_in",
        "source": "/portal",
        "time": "2026-11-24T10:30:00Z",
        "subject": "01980000-0000-7000-8000-00000000000a",
    }
    data = {"username": "ada", "email": "ada@example.com"}
    if mode == "structured":
        value, headers = attributes | {"data": data}, {"content-type": "application/cloudevents+json"}
    else:
        value, headers = data, {f"ce_{name}": text for name, text in attributes.items()}
    ((event, kept),) = read([message(value=msgspec.json.encode(value), headers=headers)], REGISTRY).items

    assert read([kept], REGISTRY).items == [(event, kept)]


def test_an_event_in_another_form_keeps_its_headers_and_can_be_read_again_with_them() -> None:
    event = login()
    whole = {
        "specversion": "1.0",
        "id": "no uuid",
        "source": "elsewhere",
        "type": event.type,
        "time": "2026-07-01T00:00:00Z",
        "subject": str(event.user_id),
        "data": {"username": "ada", "email": "ada@example.com"},
    }
    headers = {"content-type": "application/cloudevents+json; charset=utf-8", "traceparent": "00-1-2-01", "x": "y"}

    [item] = read([message(value=msgspec.json.encode(whole), headers=headers)], REGISTRY).items

    kept = item.message.headers
    assert (kept["traceparent"], kept["x"], kept["original_content_type"]) == (
        "00-1-2-01",
        "y",
        headers["content-type"],
    )
    assert read([item.message], REGISTRY).items[0].event == item.event
