"""What the OpenAPI description says beyond what the web framework finds by itself.

Every rule that JSON Schema can say is said there, so that a client may check a request before sending it; schemathesis
compares the description with what the service does (`tests/contract/api/test_description.py`).
"""

from collections.abc import Iterator
from typing import Any, Final

from litestar._openapi.schema_generation.plugins.struct import StructSchemaPlugin
from litestar.openapi.spec import OpenAPIMediaType, Schema
from litestar.typing import FieldDefinition

from usercenter.api.reading import Request

LARGEST: Final = 2**53 - 1
"""The largest number that every JSON reader keeps exactly (RFC 8259, section 6)."""

_RETRY_AFTER: Final = {
    "description": "Seconds until one more request may be let through.",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
}


class StrictBodies(StructSchemaPlugin):
    """Request bodies take no other fields, and the description says so, with the rules of a body as a whole."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return not field_definition.is_union and field_definition.is_subclass_of(Request)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        schema = super().to_openapi_schema(field_definition, schema_creator)
        schema.additional_properties = False
        field_definition.annotation.describe(schema)
        return schema


def files(described: dict[str, Schema]) -> dict[str, OpenAPIMediaType]:
    """The content of a body that is one of several kinds of files."""
    return {media_type: OpenAPIMediaType(schema=schema) for media_type, schema in described.items()}


def without_null_parameters(document: dict[str, Any]) -> None:
    """In place: a parameter is there or not, but never null, whatever type its absence has in Python."""
    for parameter in _parameters(document):
        parameter["schema"] = _present(parameter["schema"])


def with_retry_after(document: dict[str, Any]) -> None:
    """In place: whoever is answered 429 is told when to come again."""
    for operation in _operations(document):
        if answer := operation["responses"].get("429"):
            answer["headers"] = {"Retry-After": _RETRY_AFTER}


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        yield from operations.values()


def _parameters(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operation in _operations(document):
        yield from operation.get("parameters", ())


def _present(schema: dict[str, Any]) -> dict[str, Any]:
    schema = dict(schema)
    if "oneOf" in schema:
        [kept] = [each for each in schema.pop("oneOf") if each != {"type": "null"}]
        schema = kept | schema
    if isinstance(schema.get("type"), list):
        [schema["type"]] = [each for each in schema["type"] if each != "null"]
    if "enum" in schema:
        schema["enum"] = [each for each in schema["enum"] if each is not None]
    return schema
