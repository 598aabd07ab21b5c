"""What can go wrong between a parameter and a mail server's yes.

    NotifyError
    ├── TemplateUnknown             no folder of that name
    ├── TemplateParameterMissing    a template asks for a parameter that nobody gave
    ├── TemplateParameterInvalid    a parameter is not of the form that the template needs
    ├── MailNotSent                 the mail server has not taken the mail
    │   ├── MailRefused             … and never will: another try is useless
    │   └── MailDelayed             … but may later: try again
    └── SmsNotSent                  the SMS provider has not taken the message
        ├── SmsRefused              … and never will: another try is useless
        └── SmsDelayed              … but may later: try again

The errors of SMTP and SMS carry no addresses and numbers, so they may be logged and kept in the database.
"""


class NotifyError(Exception):
    """Whatever this room raises on purpose."""


class TemplateUnknown(NotifyError):
    """No template has this name."""


class TemplateParameterMissing(NotifyError):
    """The template asks for a parameter that was not given."""


class TemplateParameterInvalid(NotifyError):
    """A parameter was given that the template cannot use."""


class MailNotSent(NotifyError):
    """The mail server has not taken the mail.

    `code` is the SMTP reply code, or None when the server said nothing (unreachable, timeout, address that cannot be
    written in SMTP). `text` is the reply or the reason, one line, without addresses.
    """

    advice = ""

    def __init__(self, code: int | None, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        said = self.text if self.code is None else f"{self.code} {self.text}"
        return f"{said} ({self.advice})"


class MailRefused(MailNotSent):
    """This mail is refused for good: the recipient, the sender or the content is not accepted."""

    advice = "refused for good: correct the address or the content, another try will not help"


class MailDelayed(MailNotSent):
    """The mail was not taken now: the server is away, busy, or does not accept our connection."""

    advice = "not taken now: try again later"


class SmsNotSent(NotifyError):
    """The SMS provider has not taken the message.

    `status` is the HTTP status, None when nothing was answered; `text` the reason, one line, without phone numbers.
    """

    advice = ""

    def __init__(self, status: int | None, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text

    def __str__(self) -> str:
        said = self.text if self.status is None else f"{self.status} {self.text}"
        return f"{said} ({self.advice})"


class SmsRefused(SmsNotSent):
    """This message is refused for good: the number or the content is not accepted."""

    advice = "refused for good: correct the number or the content, another try will not help"


class SmsDelayed(SmsNotSent):
    """The message was not taken now: the provider is away, busy, or does not let us in."""

    advice = "not taken now: try again later"
