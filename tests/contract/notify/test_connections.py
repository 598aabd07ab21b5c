"""How many connections the server sees, and what becomes of them."""

import asyncio
from datetime import UTC, datetime

import pytest

from usercenter.clock import HeldClock
from usercenter.config.model import Mail
from usercenter.notify.errors import MailDelayed
from usercenter.notify.letters import render
from usercenter.notify.mail import Mailer
from usercenter.notify.mime import compose

CLOCK = HeldClock(datetime(2026, 11, 24, tzinfo=UTC))
LETTER = render("welcome", "en", {"username": "li", "email": "li@example.com"}, to="li@example.com", mail=Mail())


def mail(number: int):
    return compose(LETTER, notification_id=str(number), mail=Mail(), clock=CLOCK)


async def test_mails_one_after_another_share_one_connection(office, settings):
    mailer = Mailer(settings(office))
    for number in range(20):
        await mailer.send(mail(number))
    await mailer.close()
    assert len(office.mail) == 20
    assert office.connections == 1


async def test_many_mails_at_once_never_open_more_connections_than_allowed(office, settings):
    mailer = Mailer(settings(office, connections=3))
    await asyncio.gather(*(mailer.send(mail(number)) for number in range(60)))
    await mailer.close()
    assert len(office.mail) == 60
    assert office.open_at_most == 3
    assert office.connections == 3


async def test_a_server_restarted_between_two_mails_goes_unnoticed(office, settings):
    mailer = Mailer(settings(office))
    await asyncio.gather(*(mailer.send(mail(number)) for number in range(8)))
    before = office.connections
    await office.close()
    await office.open()
    await mailer.send(mail(9))
    await mailer.close()
    assert len(office.mail) == 9
    assert office.connections == before + 1


async def test_a_connection_that_the_server_says_goodbye_to_is_replaced(office, settings):
    mailer = Mailer(settings(office))
    await mailer.send(mail(1))
    office.answers["RSET"] = "421 4.4.2 idle for too long"
    await mailer.send(mail(2))
    await mailer.close()
    assert len(office.mail) == 2
    assert office.connections == 2


async def test_a_cancelled_mail_gives_its_place_back_but_not_its_connection(office, settings):
    reached = asyncio.Event()

    async def hold() -> str:
        reached.set()
        await asyncio.Event().wait()
        return ""

    office.answers["DATA"] = hold
    mailer = Mailer(settings(office, connections=1))
    sending = asyncio.create_task(mailer.send(mail(1)))
    await reached.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await asyncio.wait_for(office.is_empty.wait(), timeout=3)
    office.answers.clear()
    await mailer.send(mail(2))
    await mailer.close()
    assert len(office.mail) == 1
    assert office.connections == 2


async def test_close_may_be_called_twice_and_then_mail_is_delayed(office, settings):
    mailer = Mailer(settings(office))
    await mailer.send(mail(1))
    await mailer.close()
    await mailer.close()
    with pytest.raises(MailDelayed, match="stopping"):
        await mailer.send(mail(2))
