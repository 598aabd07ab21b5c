"""OPTIONS: which methods an address takes."""

from litestar.types import Message, Scope


async def name_every_method(message: Message, scope: Scope) -> None:
    """Complete the header Allow of an answer to OPTIONS: the framework forgets routes that were added later."""
    if message["type"] != "http.response.start" or scope.get("method") != "OPTIONS":
        return
    known = scope["litestar_app"].route_handler_method_map.get(scope.get("path_template", ""))
    if known:
        allow = ", ".join(sorted({str(method) for method in known if str(method).isupper()} | {"OPTIONS"}))
        kept = [(name, value) for name, value in message["headers"] if name.lower() != b"allow"]
        message["headers"] = [*kept, (b"allow", allow.encode())]
