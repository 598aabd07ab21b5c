"""Telling a user something: one mail for each request on `user.notifications`."""

from usercenter.config.model import Accounts, Mail
from usercenter.events import NotificationRequested
from usercenter.messaging.groups import Context, PermanentFailure
from usercenter.notify.errors import MailRefused, TemplateParameterMissing, TemplateUnknown
from usercenter.notify.letters import render
from usercenter.notify.mail import Mailer
from usercenter.notify.mime import compose


async def send_mail(event: NotificationRequested, context: Context) -> None:
    """Hand the mail to the SMTP server: at least once, always under the same Message-ID.

    What no further attempt can mend (no such template, recipient refused) is a PermanentFailure; all else is raised as
    it is and tried again.
    """
    mail = context.service(Mail)
    locale = event.locale or context.service(Accounts).default_locale
    try:
        letter = render(event.template, locale, event.parameters, to=event.to, mail=mail)
        message = compose(
            letter, notification_id=str(context.idempotency_id or event.id), mail=mail, clock=context.clock
        )
        await context.service(Mailer).send(message)
    except (MailRefused, TemplateUnknown, TemplateParameterMissing) as error:
        raise PermanentFailure(str(error)) from error
