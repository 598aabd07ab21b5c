"""The outermost layer: every request gets an id, every answer is counted, timed and logged.

Plain ASGI around the whole application, so that answers of the router itself (404, 405) are seen as well.
"""

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars
from uuid_utils import uuid7

from usercenter.metrics import Metrics

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_ID: Final = "usercenter.request_id"
HAS_LEFT: Final = "usercenter.client_has_left"
_ACCEPTED: Final = re.compile(rb"[A-Za-z0-9._:\-]{1,128}\Z")
_QUIET: Final = frozenset({"/live", "/ready", "/health", "/metrics"})


class Observed:
    """Wraps an ASGI application."""

    def __init__(self, application: Application, metrics: Metrics) -> None:
        self._application = application
        self._requests = metrics.requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        request_id = _request_id(scope)
        seen = {**scope, REQUEST_ID: request_id, "method": _ANSWERED_AS.get(scope["method"], scope["method"])}
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        started, status = time.perf_counter(), 500

        async def heard() -> Message:
            message = await receive()
            seen[HAS_LEFT] = message["type"] == "http.disconnect"
            return message

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode()), *_ALWAYS]
            await send(message)

        try:
            await self._application(seen, heard, watched)
        finally:
            self._note(scope["method"], seen.get("path_template") or "other", status, time.perf_counter() - started)

    def _note(self, verb: str, route: str, status: int, seconds: float) -> None:
        method = verb if verb in _METHODS else "other"
        self._requests.labels(method, route, str(status)).observe(seconds)
        if route not in _QUIET:
            log.info("http.request_answered", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


_ALWAYS: Final = ((b"cache-control", b"no-store"),)  # every answer is personal or of the moment
_ANSWERED_AS: Final = {"HEAD": "GET"}  # the server leaves the body out
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ACCEPTED.match(value):
            return str(value.decode())
    return str(uuid7())
