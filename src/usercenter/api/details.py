"""The body of an error: problem+json (RFC 9457) with the members `error`, `message` and `code` beside it."""

from http import HTTPStatus
from typing import Final

import msgspec

from usercenter.users.errors import Problem

MEDIA_TYPE: Final = "application/problem+json"


class ProblemDetails(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    error: str
    message: str
    code: int
    request_id: str
    errors: list[Problem] = []
    """Every wrong field, where fields are the reason."""


def details(
    status: int, error: str, message: str, *, path: str, request_id: str, problems: list[Problem] | None = None
) -> ProblemDetails:
    """An error at this address."""
    return ProblemDetails(
        type=f"urn:usercenter:problem:{error}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=message,
        instance=path,
        error=error,
        message=message,
        code=status,
        request_id=request_id,
        errors=problems or [],
    )
