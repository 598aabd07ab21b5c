"""CloudEvents in: binary and structured mode of the Kafka protocol binding."""

import base64
import json
from uuid import UUID

import pytest

from usercenter.events import Undecodable, UnknownType, UserRegistered, encode, headers_of

ID = "01980000-0000-7000-8000-000000000001"
ADA = "01980000-0000-7000-8000-00000000000a"
DATA = {"username": "ada", "email": "ada@example.com"}
ATTRIBUTES = {
    "specversion": "1.0",
    "id": ID,
    "type": "user.registered",
    "source": "/hr/onboarding",
    "time": "2026-11-24T10:30:00Z",
    "subject": ADA,
    "sequence": "7",
}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=UTF-8"}


def binary(**changes):
    """The headers of an event in binary mode; None takes one away."""
    attributes = {name: value for name, value in (ATTRIBUTES | changes).items() if value is not None}
    return {"content-type": "application/json"} | {f"ce_{name}": value for name, value in attributes.items()}


def structured(**changes):
    """The bytes of a structured event with some members changed; None takes one away."""
    whole = ATTRIBUTES | {"data": DATA} | changes
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def as_bytes(data):
    return json.dumps(data).encode()


def test_our_own_messages_are_binary_mode_and_come_back_equal(registry, registered):
    assert registry.decode(encode(registered), headers_of(registered)) == registered


def test_binary_mode_with_the_data_alone(registry):
    event = registry.decode(as_bytes(DATA), binary() | {"request_id": "req-9"})

    assert isinstance(event, UserRegistered)
    assert (str(event.id), str(event.user_id), event.source) == (ID, ADA, "/hr/onboarding")
    assert (event.username, event.sequence, event.request_id) == ("ada", 7, "req-9")
    assert event.occurred_at.isoformat() == "2026-11-24T10:30:00+00:00"


def test_structured_mode_is_the_same_event(registry):
    assert registry.decode(structured(), STRUCTURED) == registry.decode(as_bytes(DATA), binary())


@pytest.mark.parametrize("headers", [{}, {"content-type": "application/json"}])
def test_structured_mode_is_known_by_its_value_where_an_sdk_does_not_say_so(registry, headers):
    """What `cloudevents.kafka.to_structured` of the Python SDK writes (seen with 2.2.0, its v1 interface)."""
    assert registry.decode(structured(), headers) == registry.decode(structured(), STRUCTURED)


def test_data_that_looks_like_a_cloud_event_is_not_unpacked_once_more(registry):
    inside = ATTRIBUTES | {"data": DATA}

    with pytest.raises(Undecodable, match=r"user\.registered: .*missing required field `username`"):
        registry.decode(structured(data=inside), STRUCTURED)


def test_structured_mode_with_data_in_base64(registry):
    packed = structured(data=None, data_base64=base64.b64encode(as_bytes(DATA)).decode())

    assert registry.decode(packed, STRUCTURED) == registry.decode(structured(), STRUCTURED)


def test_data_that_has_a_field_named_type_is_no_flat_event(registry):
    event = registry.decode(as_bytes(DATA | {"type": "employee", "id": 17}), binary())

    assert isinstance(event, UserRegistered)
    assert str(event.id) == ID


def test_an_id_that_is_no_uuid_becomes_one_that_is_always_the_same_and_differs_by_source(registry):
    def id_of(source):
        return registry.decode(structured(id="A-17", source=source), STRUCTURED).id

    assert id_of("/hr") == id_of("/hr")
    assert id_of("/hr") != id_of("/crm")


def test_the_user_may_stand_in_the_data_instead_of_the_subject(registry):
    event = registry.decode(structured(subject=None, data=DATA | {"user_id": ADA}), STRUCTURED)

    assert event.user_id == UUID(ADA)


def test_extension_attributes_become_our_fields(registry):
    event = registry.decode(structured(actor="hr", requestid="r-1", causationid=ADA), STRUCTURED)

    assert (event.actor, event.request_id, event.causation_id) == ("hr", "r-1", UUID(ADA))


def test_an_unknown_type_is_unknown_in_both_modes(registry):
    for value, headers in (
        (as_bytes(DATA), binary(type="user.flew")),
        (structured(type="user.flew"), STRUCTURED),
    ):
        with pytest.raises(UnknownType, match=r"user\.flew"):
            registry.decode(value, headers)


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (as_bytes(DATA), binary(subject=None), "set subject"),
        (as_bytes(DATA), binary(time=None), "lacks time"),
        (as_bytes(DATA), binary(specversion="2.0"), "specversion '2.0'"),
        (as_bytes(DATA), binary() | {"content-type": "application/avro"}, "application/avro"),
        (as_bytes(DATA), binary(subject="ada"), "user.registered"),
        (as_bytes([1]), binary(), "no JSON object"),
        (b"\xff", binary(), "no JSON object"),
        (b"{}", STRUCTURED, "specversion None"),
        (b"nonsense", STRUCTURED, "no JSON object"),
        (structured(id=None, source=None), STRUCTURED, "lacks id, source"),
        (structured(id=7), STRUCTURED, "lacks id"),
        (structured(data="text"), STRUCTURED, "data is no JSON object"),
        (structured(data_base64="%%%"), STRUCTURED, "not base64"),
        (structured(data_base64=7), STRUCTURED, "not base64"),
        (structured(datacontenttype="text/xml"), STRUCTURED, "text/xml"),
        (structured(data={"username": 1}), STRUCTURED, "user.registered"),
        (b"[]", {"content-type": "application/cloudevents-batch+json"}, "batch"),
        (b"[" * 100_000, STRUCTURED, "no JSON object"),
        (structured(time=None), {}, "lacks time"),
    ],
)
def test_what_cannot_be_read_says_why(registry, value, headers, reason):
    with pytest.raises(Undecodable) as caught:
        registry.decode(value, headers)

    assert reason in str(caught.value)


def test_what_is_kept_of_a_foreign_form_needs_no_headers_any_more(registry):
    for value, headers in ((as_bytes(DATA), binary()), (structured(), STRUCTURED)):
        event, flat = registry.read(value, headers)
        assert registry.decode(flat) == event


def test_our_own_bytes_are_flat_already(registry, registered):
    value = encode(registered)

    assert registry.read(value, headers_of(registered))[1] is value
    assert registry.read(value)[1] is value
