"""A record handler that hangs: it is cancelled, its event is found, and no statement of it goes on."""

import asyncio
from typing import Any

import pytest
from harness import World
from receiving import Desk, login, messages

from usercenter.events import UserLoggedIn
from usercenter.messaging.groups import Group, Schedule, record


@pytest.fixture
async def desk(world: World) -> Desk:
    desk = Desk(world)
    await desk.open()
    return desk


@pytest.mark.parametrize("waits_for", ["the database", "nothing"])
async def test_an_event_on_which_a_handler_hangs_is_parked_and_the_others_have_their_effect(
    desk: Desk, waits_for: str
) -> None:
    async def write(events: Any, tx: Any, context: Any) -> None:
        for event in events:
            if event.actor == "endless" and waits_for == "nothing":
                await asyncio.Event().wait()
            if event.actor == "endless":
                await tx.execute("select pg_sleep(3600)")
            await tx.execute("insert into effects (handler, event_id) values ('write', %s)", (event.id,))

    fine, endless = login(), login(actor="endless")
    group = Group("usercenter", "user_events", {UserLoggedIn: (record(write, timeout_seconds=0.5),)})

    await desk.router(group, schedule=Schedule(first_seconds=3600)).handle(messages(fine, endless))

    assert await desk.effects("write") == [fine.id]
    assert await desk.world.rows("select event_id, last_error from tasks") == [(endless.id, "TimeoutError")]
    assert await desk.world.value("select count(*) from pg_stat_activity where query like '%%pg_sleep(3600)%%' "
                                  "and state = 'active' and pid <> pg_backend_pid()") == 0  # fmt: skip
