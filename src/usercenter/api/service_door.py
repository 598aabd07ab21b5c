"""The door of a process without the role `api`: health and metrics, in plain ASGI.

The web framework, with what belongs to it, is 9 MB of memory that four addresses are not worth.
"""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec
import structlog

from usercenter.api import condition
from usercenter.api.condition import Short
from usercenter.api.details import MEDIA_TYPE, details
from usercenter.api.observed import REQUEST_ID, Application, Observed, Receive, Scope, Send
from usercenter.api.services import Services
from usercenter.metrics import CONTENT_TYPE

log = structlog.get_logger()

_JSON: Final = "application/json"
_ALLOWED: Final = "GET, OPTIONS"


class _Answer(NamedTuple):
    status: int
    body: bytes
    media_type: str = _JSON
    allow: str | None = None


_Page = Callable[[Services], Awaitable[_Answer]]


def service_door(services: Services) -> Application:
    """`/live`, `/ready`, `/health` and `/metrics`; everything else is told as the front door tells it."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        if scope["type"] == "http":
            await _send(send, await _answer(scope, services))

    return Observed(application, services.metrics, services.tracing, logged=services.config.logging.requests)


async def _answer(scope: Scope, services: Services) -> _Answer:
    path = scope["path"].rstrip("/")
    page = _PAGES.get(path)
    if page is None:
        return _problem(scope, 404, "not_found", f"there is nothing at this address; there are {', '.join(_PAGES)}")
    if scope["method"] not in {"GET", "OPTIONS"}:
        message = "this address does not take this method; the header Allow names those it takes"
        return _problem(scope, 405, "method_not_allowed", message)._replace(allow=_ALLOWED)
    scope["path_template"] = path
    if scope["method"] == "OPTIONS":
        return _Answer(204, b"", allow=_ALLOWED)
    try:
        return await page(services)
    except Exception as error:
        log.error("http.request_failed", exc_info=error)
        return _problem(scope, 500, "internal_error", "this is our fault; the request id finds it in the log")


def _problem(scope: Scope, status: int, error: str, message: str) -> _Answer:
    body = details(status, error, message, path=scope["path"], request_id=scope[REQUEST_ID])
    return _Answer(status, msgspec.json.encode(body), MEDIA_TYPE)


async def _live(services: Services) -> _Answer:
    del services
    return _Answer(200, msgspec.json.encode(Short(status="ok")))


async def _ready(services: Services) -> _Answer:
    body, status = await condition.readiness(services)
    return _Answer(status, msgspec.json.encode(body))


async def _health(services: Services) -> _Answer:
    body, status = await condition.health(services)
    return _Answer(status, msgspec.json.encode(body))


async def _metrics(services: Services) -> _Answer:
    return _Answer(200, services.metrics.text(), CONTENT_TYPE)


_PAGES: Final[dict[str, _Page]] = {"/live": _live, "/ready": _ready, "/health": _health, "/metrics": _metrics}


async def _send(send: Send, answer: _Answer) -> None:
    headers = [(b"content-length", str(len(answer.body)).encode())]
    if answer.body:
        headers.append((b"content-type", answer.media_type.encode()))
    if answer.allow:
        headers.append((b"allow", answer.allow.encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
