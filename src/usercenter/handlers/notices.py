"""What users are told about their own account: a changed password, a changed status, a changed address."""

from collections.abc import Sequence
from typing import Any, Final, Literal
from uuid import UUID

from usercenter.config.model import Sms
from usercenter.db import Transaction
from usercenter.events import (
    NotificationRequested,
    UserEvent,
    UserPasswordChanged,
    UserStatusChanged,
    UserUpdated,
    derived_id,
)
from usercenter.messaging import outbox
from usercenter.messaging.groups import Context

PASSWORD_CHANGED: Final = "password_changed"  # noqa: S105  # the name of a template
STATUS_CHANGED: Final = "status_changed"
EMAIL_CHANGED: Final = "email_changed"


async def ask_for_security_mail(events: Sequence[UserPasswordChanged], tx: Transaction, context: Context) -> None:
    """Ask for a mail to each owner of a changed password: what, when, from where, and what to do about it."""
    requests = [
        _request(
            event,
            context,
            id=derived_id(event.id, ask_for_security_mail.__name__),
            template=PASSWORD_CHANGED,
            to=event.email,
            parameters={"username": event.username, "when": _when(event), "ip_address": event.ip_address},
        )
        for event in events
    ]
    await _ask(tx, requests)


async def ask_for_status_notice(events: Sequence[UserStatusChanged], tx: Transaction, context: Context) -> None:
    """Ask for a mail about each new status, and for an SMS where the user has a phone, wants it, and we can.

    The mail counts as security: who is suspended has to learn of it. The SMS keeps quiet hours.
    """
    can_text = bool(context.service(Sms).base_url)
    wanting = await _who_want_sms(tx, [event.user_id for event in events]) if can_text else set()
    requests = []
    for event in events:
        parameters = {
            "username": event.username,
            "old_status": event.old_status,
            "new_status": event.new_status,
            "reason": event.reason,
            "when": _when(event),
        }
        mail_id = derived_id(event.id, ask_for_status_notice.__name__)
        requests.append(
            _request(event, context, id=mail_id, template=STATUS_CHANGED, to=event.email, parameters=parameters)
        )
        if event.user_id in wanting:
            sms_id = derived_id(event.id, f"{ask_for_status_notice.__name__}/sms")
            requests.append(
                _request(
                    event,
                    context,
                    id=sms_id,
                    template=STATUS_CHANGED,
                    parameters=parameters,
                    channel="sms",
                    category="account",
                )
            )
    await _ask(tx, requests)


async def tell_old_address(events: Sequence[UserUpdated], tx: Transaction, context: Context) -> None:
    """Ask for a mail to the address that was the user's until now; events that do not know it ask for nothing."""
    requests = [
        _request(
            event,
            context,
            id=derived_id(event.id, tell_old_address.__name__),
            template=EMAIL_CHANGED,
            to=event.old_email,
            parameters={
                "username": event.username,
                "new_email": _masked(str(event.changes["email"])),
                "when": _when(event),
            },
        )
        for event in events
        if event.old_email and event.changes.get("email")
    ]
    await _ask(tx, requests)


async def _ask(tx: Transaction, requests: Sequence[NotificationRequested]) -> None:
    if requests:
        await outbox.add(tx, *requests)


async def _who_want_sms(tx: Transaction, user_ids: Sequence[UUID]) -> set[UUID]:
    rows = await tx.fetch_all(
        "select u.id from users u join user_settings s on s.user_id = u.id "
        "where u.id = any(%s) and u.phone is not null and (s.notifications ->> 'sms')::boolean",
        (list(user_ids),),
    )
    return {row[0] for row in rows}


def _request(
    event: UserEvent,
    context: Context,
    *,
    id: UUID,
    template: str,
    parameters: dict[str, Any],
    to: str | None = None,
    channel: Literal["mail", "sms"] = "mail",
    category: Literal["security", "account"] = "security",
) -> NotificationRequested:
    return NotificationRequested(
        id=id,
        timestamp=context.clock.now(),
        request_id=event.request_id,
        user_id=event.user_id,
        actor="system",
        causation_id=event.id,
        channel=channel,
        template=template,
        to=to,
        category=category,
        parameters=parameters,
    )


def _when(event: UserEvent) -> str:
    return event.occurred_at.isoformat(timespec="seconds")


def _masked(address: str) -> str:
    """Enough for its owner to know it again, too little for whoever reads the old mailbox: `n***@example.com`."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"
