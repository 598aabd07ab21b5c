"""The parameters of a query and the headers: each wrong one named as the client wrote it, with what is allowed."""

import re
from typing import Any, Final, get_args

from litestar.datastructures import MultiDict
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from litestar.typing import FieldDefinition

from usercenter.api.reading import choices, in_words
from usercenter.users.errors import Problem

_GOT: Final = re.compile(r"( or null)?(, got \w+)?$")
"""What a sentence about a parameter ends with and needs not: null cannot be sent, and everything there is text."""


def query_problems(handler: HTTPRouteHandler, query: MultiDict[str]) -> list[Problem]:
    """What is wrong with a query beside the types of its values, which the web framework checks.

    A parameter that is given twice says two things; and there is no null in a query, though the framework would read
    the text `null` as one. What the route does not take is nobody's business.
    """
    declared = _declared(handler) if query else {}
    twice = [Problem(name, "twice", "is given twice") for name in query if name in declared and _is_twice(query, name)]
    nulls = [name for name, text in query.items() if text.lower() == "null" and _has_null(declared.get(name))]
    return [*twice, *(Problem(name, "query", "is there or left out, but never null") for name in nulls)]


def _declared(handler: HTTPRouteHandler) -> dict[str, FieldDefinition]:
    """The parameters that the route takes, by itself or through what it depends on."""
    signatures = [handler.parsed_fn_signature]
    signatures += [provider.parsed_fn_signature for provider in handler.resolve_dependencies().values()]
    return {
        getattr(field.kwarg_definition, "name", None) or name: field
        for signature in signatures
        for name, field in signature.parameters.items()
    }


def _is_twice(query: MultiDict[str], name: str) -> bool:
    return len(query.getall(name)) > 1


def _has_null(field: FieldDefinition | None) -> bool:
    """Whether the framework would take a text for None: not where any text is a value."""
    return field is not None and field.is_optional and str not in get_args(field.annotation)


def refused(handler: HTTPRouteHandler, query: MultiDict[str], error: ValidationException) -> list[Problem]:
    """What the web framework found wrong with the parameters; of those that are missing it would name one alone."""
    declared = _declared(handler)
    wrong: Any = error.extra or []
    return [_problem(declared, **each) for each in wrong] or [
        Problem(name, "missing", "is required")
        for name, field in declared.items()
        if isinstance(field.kwarg_definition, QueryParameter) and field.is_required and name not in query
    ]


def _problem(declared: dict[str, FieldDefinition], *, key: str, source: str = "query", message: str) -> Problem:
    if source == "header":
        return Problem(key.replace("_", "-").title(), source, _short(message, []))  # how headers are written
    for name, field in declared.items():
        if field.name == key:
            return Problem(name, source, _short(message, choices(field.annotation)))
    return Problem(key, source, _short(message, []))


def _short(message: str, allowed: list[str]) -> str:
    return _GOT.sub("", in_words(message, allowed), count=1)
