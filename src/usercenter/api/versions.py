"""ETag and If-Match: a user's sequence as its version, so that nobody overwrites what they have not seen."""

import re
from typing import Annotated, Any, Final

import msgspec
from litestar import Response
from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter
from litestar.types import ASGIApp, Receive, Scope, Send

from usercenter.api.views import Me, UserView
from usercenter.users.errors import InvalidFields, Problem
from usercenter.users.model import User

_TAG: Final = re.compile(r'(W/)?"([!#-~]*)"\Z')
_SEQUENCE: Final = re.compile(r"[1-9][0-9]{0,17}\Z")
_NEVER: Final = -1
"""The version of a tag that is none of ours: no user is at it."""

IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        required=False,
        schema_extra={"pattern": r'^(\*|(W/)?"[!#-~]*")$', "format": "entity-tag"},
        description="The ETag that the caller saw last: when the user has changed since, nothing is done (412).",
    ),
]
"""How a route takes the header."""

ETAG: Final = (
    ResponseHeader(name="ETag", description="The version of the user, for If-Match.", documentation_only=True),
)
"""How a route describes the header of its answers."""


FIRST_VERSION: Final = {"ETag": '"1"'}
"""The header with a user that was registered a moment ago."""


def etag(user: User | UserView) -> dict[str, str]:
    """The header that tells the version of the user in the body."""
    return {"ETag": f'"{user.sequence}"'}


class _Versioned(Response[Me]):
    """Written out at once, without the web framework's ways for all that it might be besides."""

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        body = msgspec.json.encode(self.content)
        headers = [
            *((name.lower().encode(), value.encode()) for name, value in self.headers.items()),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ]
        return _sending(self.status_code or 200, headers, body)


def _sending(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return answer


def versioned(user: User, *, status: int = 200) -> Response[Me]:
    """A user with its version."""
    return _Versioned(Me(UserView.of(user)), status_code=status, headers=etag(user))


def expected_sequence(if_match: str | None) -> int | None:
    """The version that the caller expects, None for any.

    A weak tag and one that is none of ours match no version (RFC 9110, section 13.1.1). Raises InvalidFields for what
    is no tag at all.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    found: Any = _TAG.match(if_match.strip())
    if found is None:
        raise InvalidFields([Problem("If-Match", "header", 'write one ETag as you got it, like "7", or *')])
    is_weak, tag = found.groups()
    return int(tag) if not is_weak and _SEQUENCE.match(tag) else _NEVER
