import json
from uuid import UUID

import pytest

from usercenter.events import Registry, Undecodable, UnknownType, UserDeleted, UserEvent, UserRegistered, encode

WIRE = {
    "id": "01980000-0000-7000-8000-000000000001",
    "type": "user.registered",
    "timestamp": "2026-11-24T10:30:00Z",
    "user_id": "01980000-0000-7000-8000-00000000000a",
    "username": "ada",
    "email": "ada@example.com",
}


def wire(**changes):
    """The bytes of an event with some fields changed; None takes one away."""
    return json.dumps({name: value for name, value in (WIRE | changes).items() if value is not None}).encode()


def test_bytes_become_the_event_of_their_type(registry):
    event = registry.decode(wire())

    assert isinstance(event, UserRegistered)
    assert event.user_id == UUID(WIRE["user_id"])
    assert event.actor is None
    assert event.sequence is None
    assert event.causation_id is None


def test_fields_of_a_later_version_are_ignored(registry):
    assert registry.decode(wire(version="1.7", loyalty={"level": [1, 2]})) == registry.decode(wire(version="1.7"))


def test_the_order_of_the_fields_does_not_matter(registry):
    backwards = json.dumps(dict(reversed(WIRE.items()))).encode()

    assert registry.decode(backwards) == registry.decode(wire())


def test_a_type_that_nobody_declared_is_told_apart_from_a_broken_message(registry):
    with pytest.raises(UnknownType, match=r"user\.teleported") as caught:
        registry.decode(wire(type="user.teleported"))

    assert caught.value.type == "user.teleported"


@pytest.mark.parametrize("value", [None, b""])
def test_a_message_without_a_value_is_undecodable(registry, value):
    with pytest.raises(Undecodable, match="no value"):
        registry.decode(value)


@pytest.mark.parametrize(
    "value",
    [b"{", b"\xff\xfe", b"null", b"[]", b'"user.registered"', b"{}", b'{"type":1}', b'{"type":null}', b"[" * 100_000],
    ids=["cut", "no-utf8", "null", "list", "text", "empty", "number", "type-null", "deep"],
)
def test_what_is_no_object_with_a_type_is_undecodable(registry, value):
    with pytest.raises(Undecodable, match="not a JSON object with a type"):
        registry.decode(value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"user_id": None}, "user_id"),
        ({"email": None}, "email"),
        ({"username": 7}, "username"),
        ({"id": "17"}, r"\$\.id"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2026-02-30T10:00:00Z"}, "timestamp"),
        ({"data": []}, "data"),
        ({"sequence": "1"}, "sequence"),
        ({"sequence": -1}, "sequence"),
        ({"sequence": 2**63}, "sequence"),
        ({"sequence": 1.5}, "sequence"),
        ({"causation_id": "none"}, "causation_id"),
    ],
)
def test_an_event_of_ours_that_is_wrong_is_undecodable_and_the_reason_names_the_field(registry, changes, reason):
    with pytest.raises(Undecodable, match=rf"user\.registered: .*{reason}"):
        registry.decode(wire(**changes))


def test_the_reason_does_not_repeat_the_data(registry):
    with pytest.raises(Undecodable) as caught:
        registry.decode(wire(email=["ada@example.com"], username="ada lovelace"))

    assert "ada" not in str(caught.value)


def test_a_deep_structure_in_the_data_is_undecodable_and_not_fatal(registry):
    deep = wire().replace(b"{", b'{"data":' + b'{"a":' * 50_000, 1)

    with pytest.raises(Undecodable):
        registry.decode(deep)


def test_two_classes_of_one_type_are_refused():
    class Imposter(UserEvent, type="user.deleted"):
        pass

    with pytest.raises(ValueError, match=r"user\.deleted"):
        Registry([UserDeleted, Imposter])


def test_a_registry_knows_only_what_it_was_built_from(registered):
    small = Registry([UserDeleted])

    assert "user.deleted" in small
    assert "user.registered" not in small
    assert small.classes() == {"user.deleted": UserDeleted}
    with pytest.raises(UnknownType):
        small.decode(encode(registered))


def test_foreign_types_do_not_become_labels(registry):
    assert registry.label("user.registered") == "user.registered"
    assert registry.label("x" * 10_000) == "other"
