"""What is asked for on `user.notifications`."""

from typing import ClassVar, Literal

from usercenter.events.envelope import Event, Personal, PersonalFacts


class NotificationRequested(Event, type="notification.requested", frozen=True, kw_only=True):
    """Somebody wants one user to be told something; its id is the idempotency id of the mail."""

    stream: ClassVar[str] = "user_notifications"

    channel: Literal["mail"] = "mail"
    template: str
    to: Personal
    locale: str | None = None
    parameters: PersonalFacts = {}
