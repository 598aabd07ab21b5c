import json
from datetime import UTC, datetime, timedelta, timezone
from typing import ClassVar
from uuid import UUID, uuid5

import msgspec
import pytest
from msgspec.structs import replace

from usercenter.events import (
    USER_EVENTS,
    Event,
    NotificationRequested,
    UserEvent,
    derived_id,
    encode,
    headers_of,
    new_id,
)


def test_an_event_is_one_flat_object_with_its_id_and_type_first(registered):
    assert list(json.loads(encode(registered)).items()) == [
        ("id", "01980000-0000-7000-8000-000000000001"),
        ("type", "user.registered"),
        ("source", "usercenter"),
        ("timestamp", "2026-11-24T10:30:00.250000Z"),
        ("version", "1.0"),
        ("request_id", "req-1"),
        ("user_id", "01980000-0000-7000-8000-00000000000a"),
        ("data", {}),
        ("actor", "01980000-0000-7000-8000-00000000000a"),
        ("sequence", 1),
        ("username", "ada"),
        ("email", "ada@example.com"),
    ]


def test_an_event_cannot_be_changed(registered):
    with pytest.raises(AttributeError):
        registered.username = "eve"


def test_two_events_do_not_share_their_data(registered):
    other = replace(registered, id=new_id(), data={})
    other.data["note"] = "mine"

    assert registered.data == {}


def test_an_event_of_a_company_says_its_type_where_its_class_is_opened():
    class ProfileUpdated(UserEvent, type="user.profile_updated"):
        changes: dict[str, str]

    event = ProfileUpdated(id=new_id(), timestamp=datetime.now(UTC), user_id=new_id(), changes={"city": "杭州"})

    assert event.type == "user.profile_updated"
    assert event.stream == "user_events"
    assert json.loads(encode(event))["changes"] == {"city": "杭州"}
    with pytest.raises(AttributeError):
        event.changes = {}


def test_a_notification_travels_on_its_own_topic():
    assert NotificationRequested.stream == "user_notifications"
    assert {event.stream for event in USER_EVENTS} == {"user_events"}


def test_every_field_that_tells_who_somebody_is_says_so():
    impersonal = {"locale", "old_status", "new_status", "reason", "deleted_by", "session_id"}
    impersonal |= {"channel", "template", "category"}
    for event in (*USER_EVENTS, NotificationRequested):
        for field in msgspec.structs.fields(event):
            if field.name not in Event.__struct_fields__:
                assert ("personal" in str(msgspec.inspect.type_info(field.type))) == (field.name not in impersonal)


def test_headers_say_what_consumers_and_cloudevents_read(registered):
    assert headers_of(registered) == {
        "event_type": "user.registered",
        "request_id": "req-1",
        "content-type": "application/json",
        "ce_id": "01980000-0000-7000-8000-000000000001",
        "ce_type": "user.registered",
        "ce_source": "usercenter",
        "ce_specversion": "1.0",
        "ce_time": "2026-11-24T10:30:00.250000Z",
        "ce_subject": "01980000-0000-7000-8000-00000000000a",
        "ce_sequence": "1",
    }


def test_an_event_without_a_sequence_has_no_header_for_it(registered):
    assert "ce_sequence" not in headers_of(replace(registered, sequence=None))


def test_the_first_sequence_of_other_producers_may_be_zero(registered):
    assert headers_of(replace(registered, sequence=0))["ce_sequence"] == "0"


def test_the_trace_goes_along_when_there_is_one(registered):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    assert headers_of(registered, traceparent=trace)["traceparent"] == trace
    assert "traceparent" not in headers_of(registered)


def test_a_time_without_a_zone_is_utc(registered):
    naive = replace(registered, timestamp=datetime(2026, 11, 24, 10, 30))  # noqa: DTZ001  # what others write

    assert naive.occurred_at == datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
    assert headers_of(naive)["ce_time"] == "2026-11-24T10:30:00Z"


def test_a_time_with_a_zone_keeps_it(registered):
    china = datetime(2026, 11, 24, 18, 30, tzinfo=timezone(timedelta(hours=8)))

    assert headers_of(replace(registered, timestamp=china))["ce_time"] == "2026-11-24T18:30:00+08:00"


def test_ids_sort_by_time_and_are_new_each_time():
    ids = [new_id() for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
    assert {each.version for each in ids} == {7}


def test_what_follows_from_an_event_has_the_same_id_at_every_attempt():
    cause = UUID("01980000-0000-7000-8000-000000000001")

    assert derived_id(cause, "welcome") == derived_id(cause, "welcome")
    assert derived_id(cause, "welcome") != derived_id(cause, "goodbye")
    assert derived_id(cause, "welcome") != derived_id(new_id(), "welcome")


def test_the_stream_is_no_field_of_the_wire(registered):
    assert "stream" not in json.loads(encode(registered))
    assert UserEvent.__annotations__ == {"stream": ClassVar[str]}


def test_a_derived_id_is_the_uuid5_that_it_has_always_been():
    cause = UUID("01980000-0000-7000-8000-000000000001")
    for purpose in ("publish_facts", "ask_for_security_mail", "é", ""):
        assert derived_id(cause, purpose) == uuid5(cause, purpose)
        assert derived_id(cause, purpose).version == 5


@pytest.mark.parametrize("offset", [timedelta(), timedelta(hours=8), timedelta(hours=-3, minutes=-30)])
@pytest.mark.parametrize("microsecond", [0, 50, 250_000])
def test_the_time_in_the_headers_is_written_as_in_the_value(registered, offset, microsecond):
    moment = datetime(2026, 11, 24, 10, 30, 0, microsecond, tzinfo=timezone(offset))
    event = replace(registered, timestamp=moment)
    assert headers_of(event)["ce_time"] == json.loads(encode(event))["timestamp"]
    assert datetime.fromisoformat(headers_of(event)["ce_time"]) == moment
