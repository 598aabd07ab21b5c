"""What a failed SMTP conversation means: refused for good, or only for now.

A 5xx answer is final only where it judges *this* mail. A server that does not let us in (wrong password, no TLS, "go
away" as a greeting) says nothing about the mail: somebody will mend it, and the mail must still be there then.
"""

import re

from aiosmtplib import SMTPException, SMTPNotSupported, SMTPRecipientsRefused, SMTPResponseException

from usercenter.notify.errors import MailDelayed, MailNotSent, MailRefused
from usercenter.notify.lines import one_line

FAILURES = (SMTPException, OSError, ValueError)
"""What a conversation can raise: an answer, a broken or silent connection, something that cannot be written in SMTP."""

_ABOUT_US = {500, 502, 503, 530, 534, 535, 538}
"""5xx codes that blame the connection: command unknown or out of order, authentication or encryption missing."""
_ADDRESS = re.compile(r"<[^<>]*>|\S+@\S+")
_TEXT_LENGTH = 300


def of_mail(failure: Exception) -> MailNotSent:
    """The verdict on a mail whose conversation failed after the connection stood."""
    match failure:
        case SMTPRecipientsRefused():
            return of_mail(failure.recipients[0])
        case SMTPResponseException():
            return _of_answer(failure.code, failure.message)
        case SMTPNotSupported():
            return MailRefused(None, "the address needs SMTPUTF8, which the mail server does not offer")
        case SMTPException() | OSError():
            return MailDelayed(None, _clean(str(failure) or type(failure).__name__))
        case UnicodeError():
            return MailRefused(None, "an address or a header has characters that SMTP cannot carry there")
        case _:
            return MailRefused(None, _clean(str(failure)))


def of_connection(failure: Exception) -> MailDelayed:
    """The verdict when no connection came about: never final, whatever the code."""
    if isinstance(failure, SMTPResponseException):
        return MailDelayed(failure.code, _clean(failure.message))
    return MailDelayed(None, _clean(str(failure) or type(failure).__name__))


def _of_answer(code: int, text: str) -> MailNotSent:
    is_final = 500 <= code <= 599 and code not in _ABOUT_US
    return (MailRefused if is_final else MailDelayed)(code, _clean(text))


def _clean(text: str) -> str:
    """One line without addresses: servers like to repeat them, and errors are logged and kept."""
    return _ADDRESS.sub("<…>", one_line(text))[:_TEXT_LENGTH]
