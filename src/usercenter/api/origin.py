"""Where a request comes from, as its event will tell it."""

from typing import Final
from uuid import UUID

from usercenter.api.injection import ApiRequest
from usercenter.api.observed import REQUEST_ID, TRACEPARENT
from usercenter.events import Origin

_LONGEST_USER_AGENT: Final = 500


def origin_of(request: ApiRequest, *, actor: UUID | None = None) -> Origin:
    """The request's id, address, user agent and trace, and who acts; foreign text is cut to printable characters."""
    user_agent = request.headers.get("User-Agent")
    traceparent = request.scope.get(TRACEPARENT)
    return Origin(
        request_id=str(request.scope.get(REQUEST_ID, "")),
        ip_address=request.client.host if request.client else None,
        user_agent=_printable(user_agent)[:_LONGEST_USER_AGENT] if user_agent else None,
        actor=str(actor) if actor else "system",
        traceparent=str(traceparent) if traceparent else None,
    )


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
