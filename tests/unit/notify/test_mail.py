"""Settings that could never send a mail stop the start, not the first mail."""

import pytest
from aiosmtplib import SMTPDataError

from usercenter.config.model import Mail
from usercenter.notify.errors import MailDelayed, MailRefused
from usercenter.notify.mail import Mailer
from usercenter.notify.verdicts import of_mail


@pytest.mark.parametrize("setting", ["sender", "reply_to"])
@pytest.mark.parametrize("value", ["usercenter", "usercenter <>", "a@b@", "Name <a b@c.example>"])
def test_a_sender_that_is_no_mailbox_is_named(setting, value):
    with pytest.raises(ValueError, match="write it as `Name <name@domain>`"):
        Mailer(Mail(**{"host": "localhost", setting: value}))


def test_an_empty_host_says_what_to_do():
    with pytest.raises(ValueError, match=r"mail\.host is empty"):
        Mailer(Mail())


def test_what_a_server_says_is_kept_short_and_clean():
    error = of_mail(SMTPDataError(550, "no\n\udcffaddress <li@b.example> and li@b.example " + "x" * 1000))
    assert error.text.startswith("no address <…> and <…> x")
    assert len(error.text) == 300


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MailRefused(550, "no such user"), "550 no such user (refused for good: correct the address or the content"),
        (MailDelayed(None, "timed out"), "timed out (not taken now: try again later)"),
    ],
)
def test_an_error_says_what_to_do_next(error, words):
    assert str(error).startswith(words)
