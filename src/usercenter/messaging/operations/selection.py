"""A frozen selection: what a bulk action was shown to be about, so that it does exactly that, and nothing newer.

The token holds all of it (action, filter, upper id, count) and needs no table. Its checksum finds a mistyped token; it
is no secret: who may run the command may choose anything anyway.
"""

import base64
import binascii
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

Action = Literal["retry", "discard", "redrive", "retry-now"]
_CHECK_BYTES: Final = 6


class SelectionInvalid(Exception):
    """The token is not one of ours, or it was made for something else."""


class Filter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which letters or tasks; what is not given excludes nothing."""

    id: int | None = None
    """Of a letter, or the position of a task."""
    handler: str | None = None
    """With or without the lane of its own behind `/`."""
    type: str | None = None
    user: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    cause: str | None = None
    """A fingerprint (tasks have none), or the kind of the error, `OSError`."""
    state: Literal["waiting", "parked"] | None = None
    """Of tasks alone."""

    @property
    def is_empty(self) -> bool:
        """Whether it means everything."""
        return self == Filter()

    def parameters(self) -> dict[str, Any]:
        """For the statements."""
        return msgspec.structs.asdict(self)


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What an action is about: all that the filter finds up to this id, of which there were so many."""

    action: Action
    filter: Filter
    upper: int
    count: int

    def facts(self) -> dict[str, Any]:
        """For the audit."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def token(self) -> str:
        """As text that can be copied from one terminal into another."""
        body = msgspec.json.encode(self)
        return base64.urlsafe_b64encode(_check(body) + body).decode().rstrip("=")


def from_token(token: str, action: Action) -> Selection:
    """The selection of a token that was made for this action. Raises SelectionInvalid with what to do."""
    try:
        whole = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        check, body = whole[:_CHECK_BYTES], whole[_CHECK_BYTES:]
        if check != _check(body):
            raise SelectionInvalid("the token is not whole: copy it again from the dry run")
        selection = msgspec.json.decode(body, type=Selection)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise SelectionInvalid("this is no token of a selection: take the one that the dry run printed") from error
    if selection.action != action:
        raise SelectionInvalid(f"the token was made for {selection.action}, not for {action}: do a dry run of {action}")
    return selection


def _check(body: bytes) -> bytes:
    return sha256(body).digest()[:_CHECK_BYTES]
