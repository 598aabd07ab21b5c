"""A subscription, a delivery, and what came of an attempt."""

from datetime import datetime
from http import HTTPStatus
from typing import ClassVar, Final
from uuid import UUID

import msgspec

from usercenter.events import Event

ALL: Final = "*"
"""The event type that stands for every one."""
NOBODY: Final = UUID(int=0)
"""The user of an event that is about none."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver that wants to be told; `sealed_secrets` are newest first, and every one of them signs."""

    id: UUID
    url: str
    event_types: list[str]
    sealed_secrets: list[bytes]
    is_enabled: bool
    disabled_reason: str | None
    created_at: datetime
    updated_at: datetime

    def wants(self, event_type: str) -> bool:
        """Whether events of this type go there."""
        return ALL in self.event_types or event_type in self.event_types


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way: what is sent, byte for byte, and what the record says about it."""

    event_id: UUID
    event_type: str
    user_id: UUID
    body: bytes


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one attempt: an HTTP status, or an error that says why there is none."""

    status: int | None = None
    answer: str | None = None
    """The first bytes of the receiver's answer, as text."""
    error: str | None = None
    retry_after_seconds: float | None = None
    took_ms: int = 0

    @property
    def is_done(self) -> bool:
        """Whether the receiver has taken it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no more calls at all."""
        return self.status == HTTPStatus.GONE


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, as it is kept."""

    id: int
    webhook_id: UUID
    event_id: UUID
    event_type: str
    user_id: UUID
    attempt: int
    status: int | None
    answer: str | None
    error: str | None
    took_ms: int
    delivered_at: datetime


class WebhookTested(Event, type="webhook.test", frozen=True, kw_only=True):
    """Somebody tries whether a receiver gets our calls and can check them; never on Kafka."""

    stream: ClassVar[str] = ""
    webhook_id: UUID
