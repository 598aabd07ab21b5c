"""A letter in the form that mail servers expect: headers, and the text and the HTML side by side.

Written as bytes, without the standard library's tree of objects, which takes most of the time that a mail costs. What
is not plain (a header in Chinese, a very long one) is left to the library's own folding.
"""

import base64
import binascii
import hashlib
import re
from email.headerregistry import Address, HeaderRegistry
from email.policy import EmailPolicy
from email.utils import format_datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from usercenter.clock import Clock
from usercenter.config.model import Mail
from usercenter.notify.addresses import mailbox_of, recipient_of
from usercenter.notify.errors import MailRefused
from usercenter.notify.letters import Letter
from usercenter.notify.lines import one_line


class _Headers(HeaderRegistry):
    """Makes the class of a header once, and not for each mail: a class is a ring, which waits for the collector."""

    @lru_cache(maxsize=32)  # noqa: B019  # there is one registry, as long as the process lives
    def __getitem__(self, name: str) -> Any:
        return super().__getitem__(name)


_WHOLE: Final = {"list-unsubscribe", "list-unsubscribe-post"}
"""Headers that stay on one line: the standard library would encode a long URL as words, which nobody decodes here."""
_ASCII: Final = bytes(range(128))
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*")
_POLICY: Final = EmailPolicy(linesep="\r\n", cte_type="7bit", max_line_length=78, header_factory=_Headers())
_POLICY_UTF8: Final = _POLICY.clone(utf8=True)
_LONGEST_PLAIN: Final = 64
_BOUNDARY: Final = b"=_usercenter"
"""Stands in no body: in quoted-printable and base64 no `_` follows a `=`."""
_CONDUCT: Final = b"Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\n"
"""What tells machines that no absence note should answer."""


class ReadyMail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail as it is handed to an SMTP server."""

    sender: str
    recipient: str
    message_id: str
    octets: bytes


class _House(msgspec.Struct, frozen=True):
    """What the settings say of every mail, written once."""

    sender: Address
    origin: bytes
    reply_to: bytes


def compose(letter: Letter, *, notification_id: str, mail: Mail, clock: Clock) -> ReadyMail:
    """The letter as a mail, ready for `Mailer.send`.

    The same `notification_id` gives the same Message-ID at every attempt, so that a mail sent twice is known as one.
    Only an address that is not ASCII before the @ makes a mail that needs SMTPUTF8.
    Raises MailRefused if the recipient's address or a header cannot be written, ValueError if the sender of the
    settings cannot.
    """
    house = _house(mail.sender, mail.reply_to)
    try:
        recipient = recipient_of(letter.to)
    except ValueError as error:
        raise MailRefused(None, str(error)) from None  # the cause may quote the address
    id_ = message_id(notification_id, house.sender.domain)
    facts = (
        house.origin,
        _to(recipient),
        _subject(one_line(letter.subject)),
        f"Date: {format_datetime(clock.now())}\r\nMessage-ID: {id_}\r\nMIME-Version: 1.0\r\n".encode(),
        b'Content-Type: multipart/alternative; boundary="%b"\r\n' % _BOUNDARY,
        house.reply_to,
        f"Content-Language: {letter.locale}\r\n".encode(),
        _CONDUCT,
        *(_own(name, one_line(value)) for name, value in letter.headers.items()),
    )
    octets = b"".join((*facts, b"\r\n", _part(b"plain", letter.text), _part(b"html", letter.html), _END))
    return ReadyMail(sender=house.sender.addr_spec, recipient=recipient.addr_spec, message_id=id_, octets=octets)


def message_id(notification_id: str, domain: str) -> str:
    """The Message-ID of a notification; an id that could not stand in a header is replaced by its SHA-256."""
    is_plain = len(notification_id) <= 128 and _PLAIN_ID.fullmatch(notification_id)
    left = notification_id if is_plain else hashlib.sha256(notification_id.encode(errors="surrogatepass")).hexdigest()
    return f"<{left}@{domain}>"


@lru_cache(maxsize=8)
def _house(sender: str, reply_to: str) -> _House:
    address = mailbox_of(sender)
    return _House(address, _folded("From", address), _folded("Reply-To", mailbox_of(reply_to)) if reply_to else b"")


def _to(recipient: Address) -> bytes:
    address = recipient.addr_spec
    if address.isascii() and len(address) <= _LONGEST_PLAIN:
        return b"To: %b\r\n" % address.encode()
    return _folded("To", recipient)


def _subject(subject: str) -> bytes:
    if subject.isascii() and len(subject) <= _LONGEST_PLAIN and "=?" not in subject:
        return b"Subject: %b\r\n" % subject.encode()
    return _folded("Subject", subject)


def _own(name: str, value: str) -> bytes:
    if name.lower() not in _WHOLE:
        return _folded(name, value)
    try:
        return f"{name}: {value}\r\n".encode("ascii")
    except UnicodeError:
        raise MailRefused(None, f"{name} has characters that SMTP cannot carry there") from None


def _folded(name: str, value: str | Address) -> bytes:
    """The header as the standard library writes it: in lines of 78, in UTF-8 only where an address needs that."""
    needs_utf8 = isinstance(value, Address) and not value.addr_spec.isascii()
    policy = _POLICY_UTF8 if needs_utf8 else _POLICY
    return policy.fold_binary(*policy.header_store_parse(name, value))


def _part(subtype: bytes, text: str) -> bytes:
    encoding, body = _encoded(text.encode())
    head = b'--%b\r\nContent-Type: text/%b; charset="utf-8"\r\nContent-Transfer-Encoding: %b\r\n\r\n'
    return head % (_BOUNDARY, subtype, encoding) + body + b"\r\n"


def _encoded(octets: bytes) -> tuple[bytes, bytes]:
    """The shorter one: quoted-printable for mostly ASCII, else base64. Both keep every line under 78 bytes."""
    lines = b"\r\n".join(octets.splitlines())
    others = octets.translate(None, _ASCII)
    if len(others) * 6 < len(octets):
        return b"quoted-printable", binascii.b2a_qp(lines + b"\r\n")
    return b"base64", base64.encodebytes(lines + b"\r\n").replace(b"\n", b"\r\n")


_END: Final = b"--%b--\r\n" % _BOUNDARY
