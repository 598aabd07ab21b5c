"""JSON Schema, AsyncAPI, samples and the catalogue page: all from the classes."""

import json
import re
from typing import Any

import pytest

from usercenter.config.model import Topics
from usercenter.events import EVENTS, Personal, UserEvent, UserRegistered, UserUpdated, encode, type_of
from usercenter.events.asyncapi import document
from usercenter.events.page import page
from usercenter.events.samples import sample_of
from usercenter.events.schema import schema_of

TOPICS = {"user_events": "user.events", "user_notifications": "user.notifications", "user_analytics": "user.analytics"}


class AddressMoved(UserEvent, type="address.moved"):
    """The address is another one."""

    cities: list[Personal]
    """From the oldest to the newest."""
    level: int = 1


def references(node: Any):
    """Every `$ref` of a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "$ref" else references(value)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def test_a_schema_names_its_dialect_its_type_and_what_is_required():
    schema = schema_of(UserRegistered)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "urn:usercenter:event:user.registered"
    assert schema["properties"]["type"] == {"enum": ["user.registered"]}
    assert schema["required"] == ["type", "id", "timestamp", "user_id", "username", "email"]
    assert schema["properties"]["timestamp"]["format"] == "date-time"


def test_personal_fields_are_marked_however_deep_the_mark_is():
    personal = {name for name, each in schema_of(UserRegistered)["properties"].items() if each.get("x-personal")}

    assert personal == {"username", "email", "first_name", "last_name"}
    assert schema_of(UserUpdated)["properties"]["changes"]["x-personal"] is True
    assert schema_of(AddressMoved)["properties"]["cities"]["x-personal"] is True


def test_the_text_below_a_field_is_its_description():
    assert schema_of(AddressMoved)["properties"]["cities"]["description"] == "From the oldest to the newest."


@pytest.mark.parametrize("event_class", EVENTS, ids=type_of)
def test_a_sample_of_each_event_has_exactly_the_fields_of_its_schema(event_class):
    body, schema = json.loads(encode(sample_of(event_class))), schema_of(event_class)

    assert set(schema["required"]) <= set(body) <= set(schema["properties"])


def test_asyncapi_has_the_three_topics_and_every_event_in_its_own():
    made = document(EVENTS, TOPICS, version="1.2.3")

    assert made["asyncapi"] == "3.0.0"
    assert {name: channel["address"] for name, channel in made["channels"].items()} == TOPICS
    for event_class in EVENTS:
        assert type_of(event_class) in made["channels"][event_class.stream]["messages"]
        assert made["components"]["messages"][type_of(event_class)]["bindings"]["kafka"]["key"]["format"] == "uuid"


def test_every_reference_of_the_asyncapi_document_leads_somewhere():
    made = document([*EVENTS, AddressMoved], TOPICS, version="1")
    found = list(references(made))

    assert found
    for reference in found:
        node = made
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_the_page_has_a_section_with_a_readable_example_for_each_event():
    text = page(EVENTS, {})
    examples = [json.loads(each) for each in re.findall(r"```json\n(.*?)\n```", text, re.DOTALL)]

    assert [each["type"] for each in examples] == [type_of(event_class) for event_class in EVENTS]
    assert all(getattr(Topics(), each.stream) in text for each in EVENTS)
