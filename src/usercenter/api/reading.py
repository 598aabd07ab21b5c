"""Request bodies: JSON into a struct, with every wrong field named and not only the first."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Generic, TypeVar, get_args

import msgspec
from litestar._openapi.schema_generation import SchemaCreator
from litestar.dto import MsgspecDTO
from litestar.openapi.spec import Reference, Schema
from litestar.typing import FieldDefinition

from usercenter.api.injection import ApiRequest
from usercenter.config.model import Accounts
from usercenter.users.errors import InvalidFields, Problem

_MOST_PROBLEMS: Final = 50
_LONGEST_NAME: Final = 60
_JSON: Final = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_PYTHON: Final = re.compile(rf"\b({'|'.join(_JSON)})\b")

NO_NUL: Final = r"^[^\x00]*$"
"""The pattern of a text that may hold everything but U+0000, which PostgreSQL cannot keep."""


class Malformed(Exception):
    """The body is not JSON."""


class NotJson(Exception):
    """The body says that it is something else."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a request body must be: a struct, and the rules that its fields follow beside their types."""

    @classmethod
    def problems(cls, values: Mapping[str, Any], accounts: Accounts) -> list[Problem]:
        """What the rules say about those fields that are there and have the right type."""
        del values, accounts
        return []

    @classmethod
    def describe(cls, schema: Schema) -> None:
        """Say in the description what holds for the body as a whole, beside its fields."""


def text(description: str, **schema: Any) -> msgspec.Meta:
    """What the OpenAPI description says of a text; the rules are those of the room that owns it."""
    return msgspec.Meta(extra_json_schema={"description": description, "extra": schema})


T = TypeVar("T", bound=Request)


class Body(MsgspecDTO[T], Generic[T]):
    """Reads the body of a request with `read`; used as `dto=Body[RegisterRequest]`."""

    def decode_bytes(self, value: bytes) -> Any:
        accounts: Accounts = self.asgi_connection.app.state.services.config.accounts
        return read(value, self.model_type, accounts)

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: SchemaCreator
    ) -> Schema | Reference:
        """The struct's own schema, instead of that of a copy which forgets the descriptions and bounds."""
        del handler_id
        return schema_creator.for_field_definition(field_definition)


async def require_json(request: ApiRequest) -> None:
    """Refuse a body that does not call itself JSON or that is not there: runs before a route that reads one.

    Without a Content-Type the body is taken for JSON. Raises NotJson, Malformed.
    """
    media_type, _ = request.content_type
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise NotJson(f"send JSON, with `Content-Type: application/json`; this is {_printable(media_type)}")
    if not await request.body():
        raise Malformed("the body is empty: send a JSON object")


def read(raw: bytes, kind: type[T], accounts: Accounts) -> T:
    """The request that the body holds.

    Raises Malformed, and InvalidFields with every field that is unknown, missing, of the wrong type or against a rule.
    """
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidFields([Problem("", "type", "the body must be a JSON object")])
    values: dict[str, Any] = {}
    problems = _unknown(body, kind)
    for field in _fields(kind):
        if problem := _convert(field, body, values):
            problems.append(problem)
    problems += kind.problems(values, accounts)
    if problems:
        raise InvalidFields(problems[:_MOST_PROBLEMS])
    return kind(**values)


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind)  # reads the annotations anew each time


def _convert(field: msgspec.structs.FieldInfo, body: dict[str, Any], values: dict[str, Any]) -> Problem | None:
    if field.encode_name not in body:
        return Problem(field.encode_name, "missing", "is required") if field.required else None
    try:
        values[field.name] = msgspec.convert(body[field.encode_name], field.type)
    except msgspec.ValidationError as error:
        return Problem(field.encode_name, "type", in_words(str(error), choices(field.type)))
    return None


def _unknown(body: dict[str, Any], kind: type[msgspec.Struct]) -> list[Problem]:
    known = [field.encode_name for field in _fields(kind)]
    return [
        Problem(_printable(name), "unknown", f"is no field of this request; its fields are {', '.join(known)}")
        for name in body
        if name not in known
    ]


def choices(kind: Any) -> list[str]:
    """The texts that a `Literal` allows, wherever it stands in the type."""
    return [each for part in get_args(kind) for each in ([part] if isinstance(part, str) else choices(part))]


def in_words(message: str, allowed: list[str]) -> str:
    """What msgspec says of a value, with JSON's names for the types, and the choices where there are any."""
    if allowed and message.startswith("Invalid enum value"):
        return f"is none of {', '.join(allowed)}"
    text = _PYTHON.sub(lambda found: _JSON[found[0]], message.replace("`", "")).replace(" | ", " or ")
    return text[:1].lower() + text[1:]


def _printable(name: str) -> str:
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)
    return shown[:_LONGEST_NAME]
