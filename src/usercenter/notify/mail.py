"""The way out: a message is handed to the SMTP server."""

import ssl

import structlog

from usercenter.config.model import Mail
from usercenter.notify import verdicts
from usercenter.notify.addresses import mailbox_of
from usercenter.notify.connections import Connections
from usercenter.notify.lines import one_line
from usercenter.notify.mime import ReadyMail
from usercenter.tracing import UNTRACED, Attributes, Tracing

log = structlog.get_logger()


class Mailer:
    """Sends mail through the server of `config.mail`, over at most `mail.connections` kept connections.

    Raises ValueError at once if the settings name no server or a sender that is no mailbox. One per process and event
    loop; any number of tasks may send at the same time.
    """

    def __init__(self, mail: Mail, *, tls_context: ssl.SSLContext | None = None, tracing: Tracing = UNTRACED) -> None:
        for setting in filter(None, (mail.sender, mail.reply_to)):
            mailbox_of(setting)
        self._connections = Connections(mail, tls_context=tls_context)
        self._tracing = tracing
        self._place: Attributes = {
            "network.protocol.name": "smtp",
            "server.address": mail.host,
            "server.port": mail.port,
        }

    async def send(self, mail: ReadyMail) -> str:
        """Returns once the server has taken responsibility for the mail, with what it said (often its queue id).

        Raises MailRefused (never try again) or MailDelayed (try again). After MailDelayed the mail may have been taken
        all the same, when the connection broke before the answer.
        """
        options = [] if (mail.sender + mail.recipient).isascii() else ["SMTPUTF8"]
        try:
            with self._tracing.span("send SMTP", "client", attributes=self._place):
                async with self._connections.borrow() as client:
                    _, answer = await client.sendmail(mail.sender, [mail.recipient], mail.octets, mail_options=options)
        except verdicts.FAILURES as failure:
            raise verdicts.of_mail(failure) from None  # the cause may quote the address
        log.info("notify.mail_taken", message_id=mail.message_id)
        return one_line(answer)

    async def close(self) -> None:
        """End the idle connections. Mails under way go on to their end, later ones are delayed. May be called twice."""
        await self._connections.close()
