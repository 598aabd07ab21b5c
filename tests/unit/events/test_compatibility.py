"""Which change of an event breaks somebody, and whether today's events break any of their earlier versions."""

import copy
import json
from typing import Literal

import msgspec
import pytest

from usercenter.events import EVENTS, Personal, UserEvent, type_of
from usercenter.events import history as stored
from usercenter.events.compatibility import breaks, is_same
from usercenter.events.schema import schema_of


class Place(msgspec.Struct):
    """A place."""

    city: str
    country: str | None = None


class Moved(UserEvent, type="user.moved"):
    """Somebody moved."""

    city: Personal
    kind: Literal["home", "work"]
    note: str | None = None
    level: int = 1
    places: list[Place] = []
    last: Place | None = None


def changed(change):
    """Moved's schema after a change."""
    schema = copy.deepcopy(schema_of(Moved))
    change(schema["properties"], schema)
    return schema


def drop(name):
    def change(properties, schema):
        del properties[name]
        schema["required"] = [each for each in schema["required"] if each != name]

    return change


def put(name, value, *, is_required=False):
    def change(properties, schema):
        properties[name] = value
        if is_required:
            schema["required"] = [*schema["required"], name]

    return change


def in_place(change):
    return lambda properties, schema: change(schema["$defs"]["Place"]["properties"], schema["$defs"]["Place"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop("city"), "city is gone"),
        (drop("note"), "note is gone"),
        (put("city", {"type": "integer", "x-personal": True}), "city was"),
        (put("note", {"type": "string"}), "note was"),
        (put("extra", {"type": "string"}, is_required=True), "extra is new and required"),
        (lambda p, s: s["required"].append("level"), "level was optional and is required now"),
        (lambda p, s: s["required"].remove("city"), "city was required and is optional now"),
        (put("kind", {"enum": ["home"]}), "kind no longer allows 'work'"),
        (put("kind", {"enum": ["home", "work", "boat"]}), "kind allows 'boat'"),
        (put("level", {"type": "integer", "default": 2}), "level absent meant 1 and now means 2"),
        (put("level", {"type": "integer", "default": 1, "maximum": 5}), "level was"),
        (put("city", {"type": "string"}), "city was personal"),
        (in_place(drop("country")), "places[].country is gone"),
        (in_place(put("zip", {"type": "string"}, is_required=True)), "last.zip is new and required"),
        (lambda p, s: s.update({"additionalProperties": False}), "was"),
    ],
)
def test_these_changes_break_somebody(change, said):
    assert any(said in text for text in breaks(schema_of(Moved), changed(change)))


@pytest.mark.parametrize(
    "change",
    [
        put("extra", {"type": "string", "default": ""}),
        put("note", {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "description": "Better words."}),
        lambda p, s: s.update({"title": "Relocated", "description": "Another word for it."}),
        in_place(put("street", {"type": "string", "default": ""})),
    ],
)
def test_these_changes_break_nobody(change):
    assert breaks(schema_of(Moved), changed(change)) == []


def test_words_are_no_new_version_but_a_field_or_a_mark_is():
    schema = schema_of(Moved)

    assert is_same(schema, changed(lambda p, s: s.update({"description": "Other words."})))
    assert not is_same(schema, changed(put("extra", {"type": "string", "default": ""})))
    assert not is_same(schema, changed(put("note", schema["properties"]["note"] | {"x-personal": True})))


def test_a_field_that_is_named_like_a_word_of_the_schema_is_compared():
    old = {"properties": {"title": {"type": "string"}, "description": {"type": "string"}}, "required": []}
    new = {"properties": {"title": {"type": "integer"}, "description": {"type": "string"}}, "required": []}

    assert breaks(old, new)
    assert not is_same(old, new)


def test_a_new_class_is_stored_once_and_then_agrees(tmp_path):
    assert [finding.is_new for finding in stored.check([Moved], tmp_path)] == [True]

    assert stored.write(Moved, tmp_path) == tmp_path / "user.moved" / "1.json"

    assert stored.check([Moved], tmp_path) == [stored.Finding("user.moved", [])]


def test_today_is_held_against_every_version_not_only_the_latest(tmp_path):
    stored.write(Moved, tmp_path)
    first = json.loads((tmp_path / "user.moved" / "1.json").read_text())
    second = copy.deepcopy(first)
    first["properties"]["street"] = {"type": "string", "default": ""}  # was there, and forgotten by the second
    (tmp_path / "user.moved" / "1.json").write_text(json.dumps(first))
    (tmp_path / "user.moved" / "10.json").write_text(json.dumps(second))

    (finding,) = stored.check([Moved], tmp_path)

    assert finding.problems == ["street is gone: a field is never removed or renamed (since version 1)"]
    assert not finding.is_new
    assert list(stored.versions(Moved, tmp_path)) == [1, 10]
    assert stored.write(Moved, tmp_path).name == "11.json"


def test_a_stored_event_without_a_class_is_found(tmp_path):
    stored.write(Moved, tmp_path)

    (finding,) = stored.check([], tmp_path)

    assert finding.type == "user.moved"
    assert "no class" in finding.problems[0]


def test_a_struct_that_refers_to_itself_can_be_compared():
    schema = {
        "properties": {"tree": {"$ref": "#/$defs/Tree"}},
        "$defs": {"Tree": {"properties": {"more": {"$ref": "#/$defs/Tree"}}}},
    }

    assert breaks(schema, copy.deepcopy(schema)) == []


def test_every_event_of_the_service_agrees_with_all_its_stored_versions():
    findings = stored.check(EVENTS, stored.OURS)

    assert findings == [stored.Finding(type_of(event_class), []) for event_class in EVENTS], (
        "run `usercenter events check`, and with --write once it only says `not stored`"
    )
