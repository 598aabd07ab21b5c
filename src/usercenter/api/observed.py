"""The outermost layer: every request gets an id, every answer is counted and timed, and logged if that is wanted.

Plain ASGI around the whole application, so that answers of the router itself (404, 405) are seen as well.
"""

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import structlog
from prometheus_client import Histogram
from structlog.contextvars import bind_contextvars, clear_contextvars
from uuid_utils import uuid7

from usercenter.config.model import LoggedRequests
from usercenter.metrics import Metrics
from usercenter.tracing import HEADER, NOTHING, UNTRACED, Span, Tracing, trace_of, traceparent_in

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_ID: Final = "usercenter.request_id"
TRACEPARENT: Final = "usercenter.traceparent"
"""Which trace the request's events belong to: its own span's, or the client's where we trace nothing."""
HAS_LEFT: Final = "usercenter.client_has_left"
_ACCEPTED: Final = re.compile(rb"[A-Za-z0-9._:\-]{1,128}\Z")
_QUIET: Final = frozenset({"/live", "/ready", "/health", "/metrics"})


class Observed:
    """Wraps an ASGI application."""

    def __init__(
        self, application: Application, metrics: Metrics, tracing: Tracing = UNTRACED, *, logged: LoggedRequests = "all"
    ) -> None:
        self._application = application
        self._requests = metrics.requests
        self._series: dict[tuple[str, str, int], Histogram] = {}
        self._tracing = tracing
        self._logged = logged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        parent = _traceparent(scope)
        with self._span(scope, parent) as span:
            await self._answer(scope, receive, send, span, span.traceparent or parent)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, span: Span, traceparent: str | None) -> None:
        request_id = _request_id(scope)
        method = _ANSWERED_AS.get(scope["method"], scope["method"])
        seen = {**scope, REQUEST_ID: request_id, TRACEPARENT: traceparent, "method": method}
        clear_contextvars()
        bind_contextvars(request_id=request_id, **trace_of(traceparent))
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
            self._note(
                span, scope["method"], seen.get("path_template") or "other", status, time.perf_counter() - started
            )

    def _span(self, scope: Scope, parent: str | None) -> Span:
        """Without the address: there may be an id in its path and anything in its query. Probes have none."""
        if not self._tracing.is_on or scope["path"] in _QUIET:
            return NOTHING
        attributes = {"http.request.method": _known(scope["method"]), "url.scheme": scope["scheme"]}
        return self._tracing.span(_known(scope["method"]), "server", parent=parent, attributes=attributes)

    def _note(self, span: Span, verb: str, route: str, status: int, seconds: float) -> None:
        method = _known(verb)
        span.rename(f"{method} {route}")
        span.tell({"http.route": route, "http.response.status_code": status})
        if status >= 500:
            span.fail(str(status))
        self._count(method, route, status, seconds)
        if route not in _QUIET and self._is_logged(verb, status):
            log.info("http.request_answered", method=method, route=route, status=status, ms=round(seconds * 1000, 1))

    def _count(self, method: str, route: str, status: int, seconds: float) -> None:
        """The series is looked up once for each kind of answer: that costs more than to count."""
        kind = (method, route, status)
        if (series := self._series.get(kind)) is None:
            series = self._series[kind] = self._requests.labels(method, route, str(status))
        series.observe(seconds)

    def _is_logged(self, verb: str, status: int) -> bool:
        if self._logged == "all" or status >= 400:
            return True
        return self._logged == "changes" and verb not in _READING


_ALWAYS: Final = ((b"cache-control", b"no-store"),)  # every answer is personal or of the moment
_ANSWERED_AS: Final = {"HEAD": "GET"}  # the server leaves the body out
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


def _known(verb: str) -> str:
    return verb if verb in _METHODS else "other"


def _traceparent(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return traceparent_in({HEADER: value.decode("latin-1")})
    return None


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ACCEPTED.match(value):
            return str(value.decode())
    return str(uuid7())
