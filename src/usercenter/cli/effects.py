"""The effects of the six events, and where each can be seen.

In PostgreSQL, at the mail and SMS catchers, in the cache, or at the receiver of a webhook.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from rich.panel import Panel

from usercenter.bootstrap import Service
from usercenter.cli import display
from usercenter.cli.receiver import Receiver

if TYPE_CHECKING:
    from usercenter.embedded.mail_catcher import MailCatcher
    from usercenter.embedded.sms_catcher import SmsCatcher

Look = Callable[[], Awaitable[str | None]]


class Effect(NamedTuple):
    """Something that has to follow, and how to see that it did: the facts, or None as long as it has not."""

    name: str
    look: Look
    picture: Callable[[], Panel] | None = None
    """What there is to show once it is there: the mail itself, say."""


class Effects:
    """Where to look for the effects on one user."""

    def __init__(
        self, service: Service, receiver: Receiver, *, mail: "MailCatcher | None", sms: "SmsCatcher | None"
    ) -> None:
        self._service = service
        self._receiver = receiver
        self._mail = mail
        self._sms = sms

    def of_registration(self, user: UUID, email: str) -> list[Effect]:
        """Welcome mail, settings, statistics."""
        return [
            *self._mails("welcome mail", email, number=1),
            self._row(
                "settings initialised", "select 'language ' || locale || ', ' || time_zone from user_settings", user
            ),
            self._statistics("registration statistics", "registrations"),
        ]

    def of_login(self, user: UUID) -> list[Effect]:
        """Login log, last login, judgement."""
        return [
            self._row("login log", "select coalesce(device, '?') || ' from ' || ip_address from login_log", user),
            self._row("last login", "select to_char(logged_in_at, 'HH24:MI:SS') from last_logins", user),
            self._row("anomalous login check", "select verdict || ', score ' || score from login_log", user),
        ]

    def of_strange_login(self, user: UUID, email: str) -> list[Effect]:
        """The judgement of a login that is not like the owner's, and its mail."""
        return [
            self._row(
                "anomalous login check",
                "select verdict || ', score ' || score || ': ' || (select string_agg(each ->> 'rule', ', ') "
                "from json_array_elements(reasons::json) each) from login_log where verdict = 'suspicious' and",
                user,
            ),
            *self._mails("security mail for it", email, number=2),
        ]

    def of_password(self, user: UUID, email: str, *, mails_before: int) -> list[Effect]:
        """Security mail, security log."""
        return [
            *self._mails("security mail", email, number=mails_before + 1),
            self._row("security log", "select kind || ' from ' || ip_address from security_log", user),
        ]

    def of_update(self, user: UUID, sequence: int) -> list[Effect]:
        """Cache, sync to external systems."""
        return [self._cached("cache", user, sequence), self._called("sync to external systems", user, "user.updated")]

    def of_status(self, user: UUID, sequence: int, email: str, phone: str, *, mails_before: int) -> list[Effect]:
        """Status notice by mail and by SMS, cache."""
        return [
            *self._mails("status notice", email, number=mails_before + 1),
            *self._texts("status notice by SMS", phone),
            self._cached("cache", user, sequence),
        ]

    def of_deletion(self, user: UUID, email: str, *, mails_before: int) -> list[Effect]:
        """Data purged, deletion confirmation."""
        return [
            Effect("data purged", lambda: self._purged(user)),
            *self._mails("deletion confirmation", email, number=mails_before + 1),
            self._row(
                "erasure receipt",
                "select 'purged and confirmed, by ' || deleted_by from erasures where confirmed_at is not null and",
                user,
            ),
        ]

    def mails_to(self, email: str) -> int:
        """How many mails this address got."""
        return len(self._to(email))

    def _to(self, email: str) -> Sequence[Any]:
        return [mail for mail in self._mail.mails if email in mail.recipients] if self._mail else []

    def _mails(self, name: str, email: str, *, number: int) -> list[Effect]:
        """The mail is looked for only where the SMTP server is ours."""

        async def look() -> str | None:
            mails = self._to(email)
            return f"“{mails[number - 1].subject}”" if len(mails) >= number else None

        return [Effect(name, look, lambda: display.mail_panel(self._to(email)[number - 1]))] if self._mail else []

    def _texts(self, name: str, phone: str) -> list[Effect]:
        """The SMS is looked for only where the provider is ours."""

        def found() -> Sequence[Any]:
            return [text for text in self._sms.texts if text.to == phone] if self._sms else []

        async def look() -> str | None:
            return f"to {phone}" if found() else None

        return [Effect(name, look, lambda: display.sms_panel(found()[0]))] if self._sms else []

    def _row(self, name: str, select: str, user: UUID) -> Effect:
        query: Any = f"{select} {'' if select.endswith('and') else 'where'} user_id = %s order by 1 limit 1"

        async def look() -> str | None:
            async with self._service.database.transaction() as tx:
                row = await tx.fetch_one(query, (user,))
            return str(row[0]) if row else None

        return Effect(name, look)

    def _statistics(self, name: str, metric: str) -> Effect:
        async def look() -> str | None:
            async with self._service.database.transaction() as tx:
                row = await tx.fetch_one(
                    "select sum(value) from statistics where metric = %s and step = 'day'", (metric,)
                )
            return f"{row[0]} today" if row and row[0] else None

        return Effect(name, look)

    def _cached(self, name: str, user: UUID, sequence: int) -> Effect:
        async def look() -> str | None:
            cached = await self._service.cached_sequence(user)
            return f"version {cached}" if cached is not None and cached >= sequence else None

        return Effect(name, look)

    def _called(self, name: str, user: UUID, event_type: str) -> Effect:
        async def look() -> str | None:
            for call in self._receiver.calls:
                if call.event["type"] == event_type and call.event["user_id"] == str(user):
                    return f"webhook called, signature {'verified' if call.is_signed else 'WRONG'}"
            return None

        return Effect(name, look)

    async def _purged(self, user: UUID) -> str | None:
        async with self._service.database.transaction() as tx:
            row = await tx.fetch_one(
                "select (select count(*) from erasures where user_id = %(id)s), "
                "(select count(*) from user_settings where user_id = %(id)s) "
                "+ (select count(*) from login_log where user_id = %(id)s) "
                "+ (select count(*) from sessions where user_id = %(id)s)",
                {"id": user},
            )
        return "no row of the user's is left" if row and row[0] == 1 and row[1] == 0 else None
