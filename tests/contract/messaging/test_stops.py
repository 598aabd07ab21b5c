"""Too much fails: the group stops, in every process, until somebody lets it go on."""

from typing import Any

import pytest
from harness import World
from msgspec.structs import replace
from receiving import Desk, Effects, login, message, messages

from usercenter.config.model import Limits
from usercenter.events import UserLoggedIn
from usercenter.messaging.groups import Group, PermanentFailure, record
from usercenter.messaging.stops import Stopped


@pytest.fixture
async def desk(world: World) -> Desk:
    desk = Desk(world)
    desk.config = replace(desk.config, limits=Limits(dead_in_a_row=3, window_events=10, parked_users=4))
    await desk.open()
    return desk


def of_logins(*handlers: Any) -> Group:
    return Group("usercenter", "user_events", {UserLoggedIn: handlers})


async def test_a_group_stops_with_the_batch_that_passes_a_limit_and_loses_nothing_more(desk: Desk) -> None:
    effects = Effects()
    effects.fails = lambda handler, event: PermanentFailure("a bad deployment")
    router = desk.router(of_logins(record(effects.record("first"))))
    await router.handle(messages(login(), login()))

    await router.handle(messages(login()))

    assert await desk.world.count("dead_letters") == 3
    for each in (router, desk.router(of_logins(record(effects.record("first"))))):  # and any other process
        with pytest.raises(Stopped, match=r"3 dead letters in a row.*usercenter groups resume usercenter"):
            await each.handle(messages(login()))
    assert await desk.world.count("dead_letters") == 3


async def test_it_goes_on_when_it_is_resumed_and_counts_anew(desk: Desk) -> None:
    effects = Effects()
    effects.fails = lambda handler, event: PermanentFailure("never") if event.actor == "bad" else None
    router = desk.router(of_logins(record(effects.record("first"))))
    await router.handle(messages(*[login(actor="bad") for _ in range(3)]))
    waiting = [*messages(login(), login()), message(value=b"broken"), message(value=b"broken too")]
    with pytest.raises(Stopped):
        await router.handle(waiting)

    status, said = await desk.world.command("groups", "resume", "usercenter")

    assert (status, said.splitlines()[-1]) == (0, "usercenter goes on within seconds")
    await router.handle(waiting)
    assert effects.sizes[-1] == 2
    assert await desk.world.count("dead_letters") == 5


async def test_to_resume_what_is_not_stopped_names_what_is(desk: Desk) -> None:
    status, said = await desk.world.command("groups", "resume", "usercenter")

    assert status == 1
    assert "usercenter is not stopped; stopped are: none" in said


async def test_too_many_parked_users_stop_a_group(desk: Desk) -> None:
    effects = Effects()
    effects.fails = lambda handler, event: ValueError("a bad deployment") if event.actor == "bad" else None
    router = desk.router(of_logins(record(effects.record("first"))))

    await router.handle(messages(*[login() for _ in range(5)], *[login(actor="bad") for _ in range(4)]))

    with pytest.raises(Stopped, match="4 users of one handler are parked"):
        await router.handle(messages(login()))
