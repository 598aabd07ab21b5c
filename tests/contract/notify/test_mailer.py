"""A whole mail over a real SMTP conversation: what arrives, and what each answer of the server means."""

import asyncio
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest

from usercenter.clock import HeldClock
from usercenter.config.model import Mail
from usercenter.notify.errors import MailDelayed, MailRefused
from usercenter.notify.letters import render
from usercenter.notify.mail import Mailer
from usercenter.notify.mime import ReadyMail, compose

CLOCK = HeldClock(datetime(2026, 11, 24, 9, 30, tzinfo=UTC))


def welcome(number: int = 1, *, to: str = "li@example.com", locale: str = "zh-CN") -> ReadyMail:
    parameters = {"username": "李雷", "email": to}
    letter = render("welcome", locale, parameters, to=to, mail=Mail())
    return compose(letter, notification_id=f"notification-{number}", mail=Mail(), clock=CLOCK)


@pytest.fixture
async def mailer(office, settings):
    mailer = Mailer(settings(office))
    yield mailer
    await mailer.close()


async def test_the_welcome_mail_arrives_as_it_was_written(office, mailer):
    answer = await mailer.send(welcome())
    (envelope,) = office.mail
    arrived = message_from_bytes(envelope.content, policy=default)
    assert answer == "OK queued as 1"
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@usercenter.example", ["li@example.com"])
    assert arrived["Subject"] == "欢迎使用 usercenter"
    assert arrived["Message-ID"] == "<notification-1@usercenter.example>"
    assert arrived["Date"].datetime == CLOCK.now()
    assert arrived["Content-Language"] == "zh-CN"
    assert "欢迎您，李雷" in arrived.get_body(("plain",)).get_content()
    assert "欢迎您，李雷" in arrived.get_body(("html",)).get_content()
    assert max(map(len, envelope.content.splitlines())) < 100
    assert office.mail_options == [[f"SIZE={len(welcome().octets)}"]]


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("550 5.1.1 no such user here", MailRefused),
        ("554 5.7.1 looks like spam", MailRefused),
        ("450 4.2.1 greylisted, come back", MailDelayed),
        ("452 4.3.1 disk full", MailDelayed),
        ("421 4.3.2 shutting down", MailDelayed),
        ("530 5.7.0 authentication required", MailDelayed),
    ],
)
async def test_each_no_is_final_or_not(office, mailer, verb, answer, error):
    office.answers[verb] = answer
    with pytest.raises(error) as caught:
        await mailer.send(welcome())
    assert f"{caught.value.code} {caught.value.text}" == answer


async def test_the_next_mail_goes_out_after_a_refusal(office, mailer):
    office.answers["RCPT"] = "550 5.1.1 no such user here"
    with pytest.raises(MailRefused):
        await mailer.send(welcome(1))
    office.answers.clear()
    await mailer.send(welcome(2))
    assert len(office.mail) == 1
    assert office.connections == 1


async def test_an_error_repeats_no_address(office, mailer):
    office.answers["RCPT"] = "550 5.1.1 <li@example.com>: li@example.com unknown, see https://post.example/why"
    with pytest.raises(MailRefused) as caught:
        await mailer.send(welcome())
    assert "li@" not in str(caught.value)
    assert "https://post.example/why" in str(caught.value)
    assert caught.value.__suppress_context__


async def test_a_connection_that_breaks_in_the_middle_delays_the_mail(office, mailer):
    async def cut() -> str:
        office.drop_all()
        return "250 never heard"

    office.answers["DATA"] = cut
    with pytest.raises(MailDelayed) as caught:
        await mailer.send(welcome())
    assert caught.value.code is None
    office.answers.clear()
    await mailer.send(welcome())
    assert office.connections == 2


async def test_a_server_that_falls_silent_delays_the_mail(office, settings):
    silence = asyncio.Event()

    async def wait() -> str:
        await silence.wait()
        return "250 too late"

    office.answers["RCPT"] = wait
    mailer = Mailer(settings(office, timeout_seconds=1))
    with pytest.raises(MailDelayed, match="try again later"):
        await mailer.send(welcome())
    await mailer.close()


async def test_a_server_that_is_not_there_delays_the_mail(office, settings):
    await office.close()
    mailer = Mailer(settings(office))
    with pytest.raises(MailDelayed, match=f"127.0.0.1 on port {office.port}"):
        await mailer.send(welcome())


async def test_smtputf8_is_asked_for_only_by_an_address_that_needs_it(office, mailer):
    await mailer.send(welcome(1, to="li@例子.cn"))
    await mailer.send(welcome(2, to="李雷@例子.cn"))
    assert [mail.rcpt_tos for mail in office.mail] == [["li@xn--fsqu00a.cn"], ["李雷@xn--fsqu00a.cn"]]
    assert ["SMTPUTF8" in options for options in office.mail_options] == [False, True]


async def test_an_address_that_the_server_cannot_carry_is_refused_for_good(office, mailer):
    office.offers_smtputf8 = False
    with pytest.raises(MailRefused, match="SMTPUTF8"):
        await mailer.send(welcome(to="李雷@例子.cn"))
