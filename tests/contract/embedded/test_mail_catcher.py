"""The catcher speaks SMTP, keeps every mail twice (file, memory), and tells its subscribers."""

import asyncio
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest
import pytest_asyncio

from usercenter.embedded.mail_catcher import MailCatcher


@pytest_asyncio.fixture
async def catcher(tmp_path: Path) -> AsyncIterator[MailCatcher]:
    catcher = MailCatcher(tmp_path / "mail")
    await catcher.start()
    yield catcher
    await catcher.stop()


def mail_to(address: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "no-reply@usercenter.example"
    mail["To"] = address
    mail["Subject"] = "欢迎"
    mail["Message-ID"] = "<1@usercenter.example>"
    mail.set_content("你好\n")
    mail.add_alternative("<p>你好</p>\n", subtype="html")
    return mail


async def send(catcher: MailCatcher, address: str) -> None:
    await aiosmtplib.send(mail_to(address), hostname="127.0.0.1", port=catcher.port, start_tls=False)


async def test_a_mail_is_kept_in_memory_and_as_a_file_with_the_same_bytes(catcher: MailCatcher) -> None:
    await send(catcher, "li@example.com")
    (mail,) = catcher.mails
    assert (mail.recipients, mail.subject, mail.message_id) == (["li@example.com"], "欢迎", "<1@usercenter.example>")
    assert (mail.text(), mail.text("html")) == ("你好\n", "<p>你好</p>\n")
    assert mail.path.suffix == ".eml"
    assert mail.path.read_bytes() == mail.content


async def test_a_subscriber_gets_the_mails_that_come_from_then_on(catcher: MailCatcher) -> None:
    await send(catcher, "before@example.com")
    with catcher.subscribed() as coming:
        await send(catcher, "after@example.com")
        assert (await coming.get()).recipients == ["after@example.com"]
        assert coming.empty()


async def test_a_mail_can_be_awaited_whether_it_is_there_or_still_to_come(catcher: MailCatcher) -> None:
    await send(catcher, "there@example.com")
    assert (await catcher.mail_to("there@example.com")).recipients == ["there@example.com"]
    awaited, _ = await asyncio.gather(catcher.mail_to("coming@example.com"), send(catcher, "coming@example.com"))
    assert awaited.recipients == ["coming@example.com"]
    with pytest.raises(TimeoutError):
        await catcher.mail_to("never@example.com", timeout_seconds=0.01)


async def test_a_stopped_catcher_drops_its_connections_and_comes_back_on_the_same_port(catcher: MailCatcher) -> None:
    port = catcher.port
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False)
    await client.connect()
    await catcher.stop()
    with pytest.raises((aiosmtplib.SMTPException, OSError)):
        await client.noop()
    client.close()
    with pytest.raises((aiosmtplib.SMTPException, OSError)):
        await send(catcher, "nobody@example.com")
    await catcher.start()
    await send(catcher, "again@example.com")
    assert (catcher.port, len(catcher.mails)) == (port, 1)
