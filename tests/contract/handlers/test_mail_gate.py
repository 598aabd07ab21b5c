"""A flood of mails: what waits for a connection is not begun, and what is urgent waits for none of the rest."""

import asyncio
from typing import Any

from harness import World, eventually
from receiving import Desk, messages

from usercenter.db import Database
from usercenter.events import NotificationRequested, new_id
from usercenter.handlers import groups
from usercenter.notify.mail import Mailer
from usercenter.notify.mime import ReadyMail


class HeldMailer:
    """Takes mails, and says so only when it is let go."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.may_answer = asyncio.Event()

    async def send(self, mail: ReadyMail) -> str:
        self.taken.append(mail.recipient)
        await self.may_answer.wait()
        return "250 OK"


def wish(desk: Desk, **fields: Any) -> NotificationRequested:
    facts = {"id": new_id(), "timestamp": desk.context.clock.now(), "user_id": new_id(), "template": "welcome"}
    parameters = {"username": "ada", "email": "ada@example.com"}
    return NotificationRequested(**{**facts, "parameters": parameters, "to": "ada@example.com", **fields})


async def test_a_flood_of_mails_begins_no_more_than_its_connections_bear_and_holds_up_no_urgent_one(
    world: World,
) -> None:
    desk, mailer = Desk(world), HeldMailer()
    desk.context.services.update({Mailer: mailer, Database: world.database})  # type: ignore[attr-defined]  # the desk's
    (group,) = [each for each in groups(world.config.kafka) if each.stream == "user_notifications"]
    places = 2 * world.config.mail.connections
    await desk.router(group).handle(messages(*(wish(desk) for _ in range(50))))

    async with desk.running(group):
        await eventually(lambda: len(mailer.taken), lambda number: number == places, what="as many as it bears")
        await desk.router(group).handle(messages(wish(desk, category="security", to="eve@example.com")))
        await eventually(lambda: mailer.taken, lambda taken: "eve@example.com" in taken, what="the urgent one")
        assert len(mailer.taken) == places + 1
        assert await world.value("select count(*) from tasks where attempts > 0") == places + 1
        mailer.may_answer.set()
        await desk.eventually_tasks(0)

    assert len(mailer.taken) == 51
