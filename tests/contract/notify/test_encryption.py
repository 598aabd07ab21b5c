"""TLS and passwords: who is trusted, and that a closed door says nothing about the mail."""

from datetime import UTC, datetime

import pytest

from usercenter.clock import HeldClock
from usercenter.config.model import Mail
from usercenter.notify.errors import MailDelayed
from usercenter.notify.letters import render
from usercenter.notify.mail import Mailer
from usercenter.notify.mime import compose

LETTER = render("welcome", "en", {"username": "li", "email": "li@example.com"}, to="li@example.com", mail=Mail())
MAIL = compose(LETTER, notification_id="1", mail=Mail(), clock=HeldClock(datetime(2026, 11, 24, tzinfo=UTC)))


@pytest.mark.parametrize(("security", "is_tls_at_once"), [("starttls", False), ("tls", True)])
async def test_mail_goes_out_encrypted_to_a_server_that_is_trusted(
    open_office, settings, certificate, security, is_tls_at_once
):
    server_tls, client_tls = certificate
    async with open_office(tls=server_tls, is_tls_at_once=is_tls_at_once) as office:
        mailer = Mailer(settings(office, security=security), tls_context=client_tls)
        await mailer.send(MAIL)
        await mailer.send(MAIL)
        await mailer.close()
        assert len(office.mail) == 2
        assert office.connections == 1


@pytest.mark.parametrize(("security", "is_tls_at_once"), [("starttls", False), ("tls", True)])
async def test_a_certificate_that_nobody_vouches_for_is_not_trusted_by_default(
    open_office, settings, certificate, security, is_tls_at_once
):
    server_tls, _ = certificate
    async with open_office(tls=server_tls, is_tls_at_once=is_tls_at_once) as office:
        mailer = Mailer(settings(office, security=security))
        with pytest.raises(MailDelayed, match=r"(?i)certificate.verify.failed"):
            await mailer.send(MAIL)
        assert office.mail == []


async def test_mail_is_not_sent_in_the_clear_where_starttls_is_asked_for(office, settings):
    mailer = Mailer(settings(office, security="starttls"))
    with pytest.raises(MailDelayed, match="STARTTLS"):
        await mailer.send(MAIL)
    assert office.mail == []


async def test_a_password_opens_the_door(open_office, settings, certificate):
    server_tls, client_tls = certificate
    async with open_office(tls=server_tls, password="right") as office:
        mailer = Mailer(settings(office, security="starttls", username="us", password="right"), tls_context=client_tls)
        await mailer.send(MAIL)
        await mailer.close()
        assert len(office.mail) == 1


async def test_a_wrong_password_delays_the_mail_because_it_is_not_the_mail_that_is_wrong(
    open_office, settings, certificate
):
    server_tls, client_tls = certificate
    async with open_office(tls=server_tls, password="right") as office:
        mailer = Mailer(settings(office, security="starttls", username="us", password="wrong"), tls_context=client_tls)
        with pytest.raises(MailDelayed) as caught:
            await mailer.send(MAIL)
        assert caught.value.code == 535
