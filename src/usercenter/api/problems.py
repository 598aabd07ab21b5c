"""Errors as the client gets them: problem+json (RFC 9457) with the members `error`, `message` and `code` beside it.

`error` is the stable name for programs, `message` the sentence for people, `code` the HTTP status.
"""

from http import HTTPStatus
from typing import Any, Final

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from usercenter.api.details import MEDIA_TYPE, ProblemDetails, details
from usercenter.api.idempotency import KeyReused
from usercenter.api.observed import HAS_LEFT, REQUEST_ID
from usercenter.api.parameters import refused
from usercenter.api.reading import Malformed, NotJson
from usercenter.db import SCHEMA_UNFIT, TRANSIENT, DatabaseUnavailable, OutcomeUnknown, first_line
from usercenter.users.errors import (
    AccountNotActive,
    EmailTaken,
    InvalidFields,
    LastAdmin,
    NotAllowed,
    Problem,
    SessionNotFound,
    StatusImpossible,
    TokenInvalid,
    TooManyRequests,
    UsernameTaken,
    UserNotFound,
    VersionConflict,
    WrongCredentials,
    WrongPassword,
)

log = structlog.get_logger()

RETRY_AFTER_SECONDS: Final = 2
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="usercenter"'}
_RETRY: Final = {"Retry-After": str(RETRY_AFTER_SECONDS)}
_A_WHILE: Final = f"{RETRY_AFTER_SECONDS} seconds"
_READING: Final = frozenset({"GET", "HEAD"})

AnyRequest = Request[Any, Any, Any]


def answer(
    request: AnyRequest,
    status: int,
    error: str,
    message: str,
    *,
    problems: list[Problem] | None = None,
    headers: dict[str, str] | None = None,
) -> Response[ProblemDetails]:
    """An error as the client gets it."""
    request_id = str(request.scope.get(REQUEST_ID, ""))
    body = details(status, error, message, path=request.url.path, request_id=request_id, problems=problems)
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def errors(*statuses: int) -> dict[int, ResponseSpec]:
    """The errors of a route for its OpenAPI description; a fault of ours (500) may happen everywhere."""
    return {
        status: ResponseSpec(
            ProblemDetails, media_type=MEDIA_TYPE, generate_examples=False, description=HTTPStatus(status).phrase
        )
        for status in (*statuses, 500)
    }


def _invalid(request: AnyRequest, error: InvalidFields) -> Response[ProblemDetails]:
    return answer(request, 400, "invalid_fields", str(error), problems=error.problems)


def _named(status: int, name: str, headers: dict[str, str] | None = None) -> Any:
    def handle(request: AnyRequest, error: Exception) -> Response[ProblemDetails]:
        return answer(request, status, name, str(error), headers=headers)

    return handle


def _too_many(request: AnyRequest, error: TooManyRequests) -> Response[ProblemDetails]:
    headers = {"Retry-After": str(error.retry_after_seconds)}
    return answer(request, 429, "too_many_requests", str(error), headers=headers)


def _unavailable(request: AnyRequest, error: Exception) -> Response[ProblemDetails]:
    log.warning("http.database_unavailable", error=error.__class__.__name__, sqlstate=_sqlstate(error))
    message = f"the database cannot do this at the moment, and nothing was changed: try again in {_A_WHILE}"
    return answer(request, 503, "database_unavailable", message, headers=_RETRY)


def _outcome_unknown(request: AnyRequest, error: OutcomeUnknown) -> Response[ProblemDetails]:
    if request.method in _READING:
        return _unavailable(request, error)
    log.warning("http.outcome_unknown", error=error.__class__.__name__)
    message = (
        "the connection to the database was lost while the change was being stored: it was made as a whole, or not at "
        f"all. Send it again in {_A_WHILE}, with the same Idempotency-Key if it had one"
    )
    return answer(request, 503, "outcome_unknown", message, headers=_RETRY)


def _schema_unfit(request: AnyRequest, error: Exception) -> Response[ProblemDetails]:
    log.error("http.schema_unfit", error=first_line(error), next="usercenter db upgrade; see /ready")
    message = (
        f"the database is not ready for this version, and nothing was changed: try again in {_A_WHILE}; see /ready"
    )
    return answer(request, 503, "schema_unfit", message, headers=_RETRY)


def _sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's own word for it, which says disk full (53100) or deadlock (40P01)."""
    return getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None)


def _http(request: AnyRequest, error: HTTPException) -> Response[ProblemDetails]:
    status = error.status_code
    if request.scope.get(HAS_LEFT):
        return answer(request, 400, "body_incomplete", "the connection ended before the body did")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unexpected(request, error)
    name, message = _FRAMEWORK.get(status, ("bad_request", error.detail))
    return answer(request, status, name, message, headers=error.headers)


def _invalid_parameters(request: AnyRequest, error: ValidationException) -> Response[ProblemDetails]:
    return _invalid(request, InvalidFields(refused(request.route_handler, request.query_params, error)))


def _unexpected(request: AnyRequest, error: Exception) -> Response[ProblemDetails]:
    log.error("http.request_failed", exc_info=error)
    message = "this is our fault: the request failed, and what it began was undone; the request id finds it in the log"
    return answer(request, 500, "internal_error", message)


_FRAMEWORK: Final = {
    404: ("not_found", "there is nothing at this address; /openapi.json lists what there is"),
    405: ("method_not_allowed", "this address does not take this method; the header Allow names those it takes"),
    413: ("body_too_large", "the body is larger than the server reads (its setting `server.max_body_bytes`)"),
}
"""Errors that the web framework finds: our name and sentence for each."""

HANDLERS: Final[dict[int | type[Exception], Any]] = {
    InvalidFields: _invalid,
    ValidationException: _invalid_parameters,
    Malformed: _named(400, "malformed_body"),
    NotJson: _named(415, "not_json"),
    WrongCredentials: _named(401, "wrong_credentials", _CHALLENGE),
    TokenInvalid: _named(401, "token_invalid", _CHALLENGE),
    WrongPassword: _named(403, "wrong_password"),
    NotAllowed: _named(403, "not_allowed"),
    UserNotFound: _named(404, "user_not_found"),
    SessionNotFound: _named(404, "session_not_found"),
    StatusImpossible: _named(409, "status_impossible"),
    LastAdmin: _named(409, "last_admin"),
    VersionConflict: _named(412, "version_conflict"),
    AccountNotActive: _named(403, "account_not_active"),
    UsernameTaken: _named(409, "username_taken"),
    EmailTaken: _named(409, "email_taken"),
    TooManyRequests: _too_many,
    KeyReused: _named(422, "idempotency_key_reused"),
    OutcomeUnknown: _outcome_unknown,
    DatabaseUnavailable: _unavailable,
    HTTPException: _http,
    Exception: _unexpected,
    **dict.fromkeys(TRANSIENT, _unavailable),
    **dict.fromkeys(SCHEMA_UNFIT, _schema_unfit),
}
