"""OPTIONS: which methods an address takes."""

import re
from typing import Final

from litestar.types import Message, Scope

_TYPE: Final = re.compile(r":[a-z]+\}")
"""What the map of routes says beyond the template of the path: `{user_id:uuid}`."""


async def name_every_method(message: Message, scope: Scope) -> None:
    """Complete the header Allow of an answer to OPTIONS: the framework forgets routes that were added later."""
    if message["type"] != "http.response.start" or scope.get("method") != "OPTIONS":
        return
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
