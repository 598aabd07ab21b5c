"""What can stand in the way of a webhook.

WebhookError
├── WebhookInvalid      the subscription itself is wrong; names every field
├── WebhookNotFound     there is no such subscription (any more)
├── DeliveryNotFound    there is no such delivery of it (any more)
├── EventGone           the event is not kept (any more), so it cannot be sent again
├── SecretUnreadable    the secret was sealed under another signing key
└── DeliveryFailed      the receiver did not take it: try again later
"""

from collections.abc import Sequence
from typing import NamedTuple

from usercenter.messaging.groups import RetryLater


class Problem(NamedTuple):
    """One wrong field: which, a code for programs, and a sentence for people that says what is allowed."""

    field: str
    code: str
    message: str


class WebhookError(Exception):
    """Whatever this room raises on purpose."""


class WebhookInvalid(WebhookError):
    """The subscription cannot be as it was asked for; nothing was stored."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{each.field}: {each.message}" for each in problems))
        self.problems = list(problems)


class WebhookNotFound(WebhookError):
    """There is no webhook with this id (any more)."""


class DeliveryNotFound(WebhookError):
    """The webhook has no delivery with this number (any more)."""


class EventGone(WebhookError):
    """The event is not kept here (any more), so it cannot be sent again."""


class SecretUnreadable(WebhookError):
    """The secret in the database was sealed under another signing key."""


class DeliveryFailed(WebhookError, RetryLater):
    """The receiver did not take the event; a later attempt may succeed.

    `retry_after_seconds` is how long the receiver asked to be left alone, if it did.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
