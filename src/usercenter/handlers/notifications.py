"""Telling a user something: one mail or one SMS for each request on `user.notifications`.

Each channel has its own handler, and each handler two lanes for a user: a provider that is down holds up no mail, and
what waits for the end of quiet hours holds up no warning.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from usercenter.config.model import Mail
from usercenter.db import Transaction
from usercenter.events import NotificationRequested
from usercenter.handlers.recipients import recipient_of, says_yes
from usercenter.handlers.token_links import with_link
from usercenter.messaging.groups import Context, PermanentFailure
from usercenter.notify.errors import (
    MailRefused,
    SmsRefused,
    TemplateParameterInvalid,
    TemplateParameterMissing,
    TemplateUnknown,
)
from usercenter.notify.letters import render
from usercenter.notify.mail import Mailer
from usercenter.notify.mime import compose
from usercenter.notify.sms import SmsProvider
from usercenter.notify.texts import render_text
from usercenter.users.names import check_phone

AT_ONCE: Final = "at_once"
IN_TIME: Final = "in_time"

_HOPELESS: Final = (MailRefused, SmsRefused, TemplateUnknown, TemplateParameterMissing, TemplateParameterInvalid)


async def mail_lanes(
    events: Sequence[NotificationRequested], tx: Transaction, context: Context
) -> Mapping[UUID, Sequence[str]]:
    """Lanes of `send_mail`: none for an SMS; what goes at once never stands behind what may have to wait."""
    del tx, context
    return {event.id: _lanes(event, "mail") for event in events}


async def sms_lanes(
    events: Sequence[NotificationRequested], tx: Transaction, context: Context
) -> Mapping[UUID, Sequence[str]]:
    """As `mail_lanes`, for `send_sms`."""
    del tx, context
    return {event.id: _lanes(event, "sms") for event in events}


async def send_mail(event: NotificationRequested, context: Context) -> None:
    """Hand the mail to the SMTP server: at least once, always under the same Message-ID.

    What no further attempt can mend (no such template, no address, recipient refused) is a PermanentFailure; quiet
    hours are NotYet; all else is raised as it is and tried again.
    """
    recipient = await recipient_of(event, context)
    if not says_yes(event, recipient, context):
        return
    parameters = await with_link(event, recipient.to, context)
    if parameters is None:
        return
    mail, to = context.service(Mail), recipient.to
    try:
        letter = render(event.template, recipient.locale, parameters, to=to, mail=mail, time_zone=recipient.time_zone)
        message = compose(
            letter, notification_id=str(context.idempotency_id or event.id), mail=mail, clock=context.clock
        )
        await context.service(Mailer).send(message)
    except _HOPELESS as error:
        raise PermanentFailure(str(error)) from error


async def send_sms(event: NotificationRequested, context: Context) -> None:
    """Hand the text message to the SMS provider: at least once.

    Failures are told apart as in `send_mail`; a number that is not E.164 is one for good.
    """
    recipient = await recipient_of(event, context)
    if not says_yes(event, recipient, context):
        return
    if problem := check_phone(recipient.to):
        raise PermanentFailure(f"the phone number cannot be used: {problem.message}")
    if "token_id" in event.parameters:
        raise PermanentFailure("a one-time link goes by mail alone, for it proves a mailbox: use channel mail")
    try:
        text = render_text(
            event.template,
            recipient.locale,
            event.parameters,
            to=recipient.to,
            mail=context.service(Mail),
            time_zone=recipient.time_zone,
        )
        await context.service(SmsProvider).send(text)  # type: ignore[type-abstract]  # the key, as bootstrap has it
    except _HOPELESS as error:
        raise PermanentFailure(str(error)) from error


def _lanes(event: NotificationRequested, channel: str) -> Sequence[str]:
    if event.channel != channel:
        return ()
    return (AT_ONCE if event.category == "security" else IN_TIME,)
