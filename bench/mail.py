"""Mails: notifications that wait as tasks, written, dressed and handed to an SMTP server, and struck off.

The product claims each task in PostgreSQL, reads the recipient's settings, renders the template in the reader's
language, sends text and HTML, and notes the end. The loop has its letter ready and builds and sends one mail after the
other on each of as many connections. The server is aiosmtpd in a process of its own.
"""

import asyncio
import time
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import make_msgid
from typing import Final

from aiosmtplib import SMTP
from msgspec.structs import replace

from bench import errands
from bench.counterpart import Counterpart, counterpart
from bench.ground import Ground
from bench.measure import Figure, Goal, Measure, WorkNotDone
from usercenter.bootstrap import workshop
from usercenter.config.model import Mail
from usercenter.events import NotificationRequested, new_id
from usercenter.handlers.notifications import AT_ONCE, send_mail
from usercenter.notify.letters import render

_MAILBOX: Final = "bench.mailbox"
_LOOP: Final = "loop of aiosmtplib"
_CONNECTIONS: Final = Mail().connections


async def by_the_product(ground: Ground, number: int) -> dict[str, float]:
    """The task runner with `send_mail`."""
    topic = ground.config.kafka.topics.user_notifications
    work = [errands.task(_request(ground, n), send_mail.__name__, AT_ONCE, topic=topic) for n in range(number)]
    await errands.leave(ground, work)
    async with counterpart(_MAILBOX) as mailbox:
        config = replace(ground.config, mail=_settings(ground, mailbox))
        async with workshop(config) as parts:
            seconds = await errands.seconds_until(
                lambda metrics: errands.done(metrics) >= number, parts, ground=ground, config=config
            )
        await _prove(mailbox, number)
    if left := await ground.count("tasks"):
        raise WorkNotDone(f"{left} mails are still to be sent")
    return {"mails/s": number / seconds}


async def by_a_loop(ground: Ground, number: int) -> dict[str, float]:
    """A queue of addresses and a loop for each connection."""
    letter = render("welcome", "en", _facts(0), to=_address(0), mail=ground.config.mail, time_zone="UTC")
    async with counterpart(_MAILBOX) as mailbox:
        addresses = iter([_address(n) for n in range(number)])
        began = time.perf_counter()
        loops = (
            _send(addresses, mailbox.ports[0], letter.subject, letter.text, letter.html) for _ in range(_CONNECTIONS)
        )
        await asyncio.gather(*loops)
        seconds = time.perf_counter() - began
        await _prove(mailbox, number)
    return {"mails/s": number / seconds}


MEASURE: Final = Measure(
    name="mail",
    work=f"notifications → an SMTP server, over {_CONNECTIONS} connections",
    events=2_000,
    contenders={"usercenter": by_the_product, _LOOP: by_a_loop},
    figures=(Figure(name="mails/s", unit="mails/s"),),
    goals=(Goal(words=f"≥ 0.7 of the {_LOOP}", figure="mails/s", against=_LOOP, at_least=0.7),),
)


def _settings(ground: Ground, mailbox: Counterpart) -> Mail:
    return replace(ground.config.mail, host="127.0.0.1", port=mailbox.ports[0], security="none")


def _request(ground: Ground, number: int) -> NotificationRequested:
    return NotificationRequested(
        id=new_id(),
        timestamp=ground.clock.now(),
        request_id=str(new_id()),
        user_id=new_id(),
        actor="system",
        template="welcome",
        to=_address(number),
        locale="en",
        category="security",
        parameters=_facts(number),
    )


def _facts(number: int) -> dict[str, str]:
    return {"username": f"user{number}", "email": _address(number)}


def _address(number: int) -> str:
    return f"user{number}@example.com"


async def _send(addresses: Iterator[str], port: int, subject: str, text: str, html: str) -> None:
    async with SMTP(hostname="127.0.0.1", port=port, start_tls=False, local_hostname="localhost") as client:
        for address in addresses:
            message = EmailMessage()
            message["From"], message["To"], message["Subject"] = "no-reply@example.com", address, subject
            message["Message-ID"] = make_msgid(domain="example.com")
            message.set_content(text)
            message.add_alternative(html, subtype="html")
            await client.send_message(message)


async def _prove(mailbox: Counterpart, number: int) -> None:
    found = await mailbox.counted()
    if found != {"mails": number, "different": number}:
        raise WorkNotDone(f"the server has {found} instead of {number} different mails")
