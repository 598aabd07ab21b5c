"""What is asked for on `user.notifications`."""

from typing import ClassVar, Literal

from usercenter.events.envelope import Event, Personal, PersonalFacts


class NotificationRequested(Event, type="notification.requested", frozen=True, kw_only=True):
    """Somebody wants one user to be told something, by mail or SMS.

    Any service may ask. The `id` is the idempotency id: the same id is told once, and a mail carries it as its
    Message-ID. A request that nobody can carry out (unknown template, parameter missing, no address, a number that is
    not E.164, an address that the mail server refuses) is a dead letter with its reason.
    """

    stream: ClassVar[str] = "user_notifications"
    outlives_erasure: ClassVar[bool] = True

    channel: Literal["mail", "sms"] = "mail"
    """How the user is told. Every template is written as a mail; for SMS there are `password_changed`, `status_changed`
    and `suspicious_login`."""
    template: str
    """What is said: the name of a template, such as `welcome` (`usercenter mail preview NAME` shows it)."""
    to: Personal | None = None
    """An address, or a phone number (E.164) for SMS; without it the user's own."""
    locale: str | None = None
    """The reader's language (`en`, `zh-CN`); without it the one in the user's settings, else the configured one. A
    language that the template is not written in becomes the closest one, else English."""
    category: Literal["security", "account", "news"] = "account"
    """Security always goes, and at once. The others go only if the user wants this channel
    (`/api/v1/users/me/settings`), and not in the user's quiet hours: then they wait for the end of these."""
    parameters: PersonalFacts = {}
    """What the template asks for, each one by name; null where a fact is unknown. Moments (`when`) are ISO 8601 and are
    written in the user's time zone. Strings are shown as they are, on one line, never as markup.

    `token_id` (templates `password_reset` and `email_change` only) is the id of a one-time token of this user; the mail
    gets the link made from it, if it goes to the mailbox that the token was made for. Links cannot be given."""
