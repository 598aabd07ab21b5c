"""A letter in the form that mail servers expect: headers, and the text and the HTML side by side."""

import hashlib
import re
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any

from usercenter.clock import Clock
from usercenter.config.model import Mail
from usercenter.notify.addresses import mailbox_of, recipient_of
from usercenter.notify.errors import MailRefused
from usercenter.notify.letters import Letter
from usercenter.notify.lines import one_line

_WHOLE = {"message-id", "list-unsubscribe", "list-unsubscribe-post"}
_ASCII = bytes(range(128))
_PLAIN_ID = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*")


class _Policy(EmailPolicy):
    """SMTP's own, except that an id or a URL stays whole.

    The standard library would encode a long one as words, which nobody decodes in these headers.
    """

    def fold(self, name: str, value: Any) -> str:
        if name.lower() in _WHOLE:
            return f"{name}: {value}\r\n"
        folded: str = super().fold(name, value)
        return folded

    def fold_binary(self, name: str, value: Any) -> bytes:
        if name.lower() in _WHOLE:
            return self.fold(name, value).encode("ascii")
        return super().fold_binary(name, value)


_POLICY = _Policy(linesep="\r\n", cte_type="7bit", max_line_length=78)


def compose(letter: Letter, *, notification_id: str, mail: Mail, clock: Clock) -> EmailMessage:
    """The letter as a message, ready for `Mailer.send`.

    The same `notification_id` gives the same Message-ID at every attempt, so that a mail sent twice is known as one.
    Only an address that is not ASCII before the @ makes a message that needs SMTPUTF8.
    Raises MailRefused if the recipient's address cannot be written, ValueError if the sender of the settings cannot.
    """
    sender = mailbox_of(mail.sender)
    try:
        recipient = recipient_of(letter.to)
    except ValueError as error:
        raise MailRefused(None, str(error)) from None  # the cause may quote the address
    message = EmailMessage(policy=_POLICY.clone(utf8=not recipient.addr_spec.isascii()))
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = one_line(letter.subject)
    message["Date"] = clock.now()
    message["Message-ID"] = message_id(notification_id, sender.domain)
    message.set_content(letter.text, cte=_encoding(letter.text))
    message.add_alternative(letter.html, subtype="html", cte=_encoding(letter.html))
    _add_conduct(message, letter, mail)  # after the content, which takes all Content-* headers for its own
    return message


def message_id(notification_id: str, domain: str) -> str:
    """The Message-ID of a notification; an id that could not stand in a header is replaced by its SHA-256."""
    is_plain = len(notification_id) <= 128 and _PLAIN_ID.fullmatch(notification_id)
    left = notification_id if is_plain else hashlib.sha256(notification_id.encode(errors="surrogatepass")).hexdigest()
    return f"<{left}@{domain}>"


def _add_conduct(message: EmailMessage, letter: Letter, mail: Mail) -> None:
    """The headers that tell machines how to treat the mail: its language, and that no absence note should answer."""
    if mail.reply_to:
        message["Reply-To"] = mailbox_of(mail.reply_to)
    message["Content-Language"] = letter.locale
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    for name, value in letter.headers.items():
        message[name] = one_line(value)


def _encoding(text: str) -> str:
    """The shorter one: quoted-printable for mostly ASCII, else base64. Both keep every line under 78 bytes."""
    octets = text.encode()
    others = octets.translate(None, _ASCII)
    return "quoted-printable" if len(others) * 6 < len(octets) else "base64"
