"""OPTIONS: which methods an address takes."""

import re
from typing import Final

from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.types.asgi_types import HTTPResponseStartEvent

_TYPE: Final = re.compile(r":[a-z]+\}")
"""What the map of routes says beyond the template of the path: `{user_id:uuid}`."""


def naming_every_method(app: ASGIApp) -> ASGIApp:
    """Complete the header Allow of an answer to OPTIONS: the framework forgets routes that were added later.

    A middleware around each route.
    """

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                _complete(message, scope)
            await send(message)

        await app(scope, receive, completed if scope.get("method") == "OPTIONS" else send)

    return named


def _complete(message: HTTPResponseStartEvent, scope: Scope) -> None:
    known = {
        method
        for path, methods in scope["litestar_app"].route_handler_method_map.items()
        if _TYPE.sub("}", path) == scope.get("path_template")
        for method in methods
    }
    if known:
        allow = ", ".join(sorted({str(method) for method in known if str(method).isupper()} | {"OPTIONS"}))
        kept = [(name, value) for name, value in message["headers"] if name.lower() != b"allow"]
        message["headers"] = [*kept, (b"allow", allow.encode())]
