"""The welcome of a new user: asked for once, and mailed under one Message-ID."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from harness import World, eventually
from msgspec.structs import replace
from receiving import REGISTRY, Desk, messages

from usercenter.db import Database
from usercenter.events import NotificationRequested, UserRegistered, derived_id, new_id
from usercenter.handlers import groups
from usercenter.messaging.groups import Group
from usercenter.messaging.router import Router
from usercenter.notify.mail import Mailer


def registered(world: World) -> UserRegistered:
    return UserRegistered(
        id=new_id(),
        timestamp=datetime.now(UTC),
        request_id="r-1",
        user_id=new_id(),
        username="ada",
        email=world.email("ada"),
        locale="zh-CN",
    )


def requested(world: World, **fields: object) -> NotificationRequested:
    facts = {"template": "welcome", "parameters": {"username": "ada", "email": world.email("ada")}}
    return NotificationRequested(
        id=new_id(), timestamp=datetime.now(UTC), user_id=new_id(), **{"to": world.email("ada"), **facts, **fields}
    )


def _notifications(world: World) -> Group:
    return next(group for group in groups(world.config.kafka) if group.stream == "user_notifications")


@asynccontextmanager
async def mailing(desk: Desk) -> AsyncIterator[None]:
    """The desk's handlers can send mail."""
    mailer = Mailer(desk.config.mail)
    desk.context = replace(desk.context, services={**desk.context.services, Database: desk.database, Mailer: mailer})
    try:
        yield
    finally:
        await mailer.close()


async def test_a_welcome_mail_is_asked_for_once_under_an_id_that_follows_from_the_event(
    world: World, router: Router
) -> None:
    event = registered(world)

    await router.handle(messages(event))
    await router.handle(messages(event))

    [(stream, key, payload)] = await world.rows(
        "select aggregatetype, aggregateid, payload from outbox where aggregatetype = 'user_notifications'"
    )
    request = REGISTRY.decode(payload)
    assert isinstance(request, NotificationRequested)
    assert (stream, key) == ("user_notifications", str(event.user_id))
    assert request.id == derived_id(event.id, "ask_for_welcome_mail")
    assert (request.template, request.to, request.locale) == ("welcome", event.email, "zh-CN")
    assert (request.causation_id, request.request_id, request.actor) == (event.id, "r-1", "system")


async def test_the_mail_is_sent_once_though_the_request_comes_twice(world: World) -> None:
    desk = Desk(world)
    group = _notifications(world)
    request = requested(world)
    async with mailing(desk):
        await desk.router(group).handle(messages(request))
        await desk.router(group).handle(messages(request))

        await desk.all_done(group)

    [mail] = await eventually(world.mails, what="the mail")
    assert str(request.id) in str(mail.message["Message-ID"])


@pytest.mark.parametrize(
    "fields", [{"template": "no such template"}, {"parameters": {}}, {"to": "nobody"}], ids=lambda f: next(iter(f))
)
async def test_what_no_further_attempt_can_mend_is_a_dead_letter_at_once(
    world: World, fields: dict[str, object]
) -> None:
    desk = Desk(world)
    group = _notifications(world)
    async with mailing(desk):
        await desk.router(group).handle(messages(requested(world, **fields)))

        await desk.all_done(group)

    [(handler, attempts, error)] = await world.rows("select handler, attempts, error from dead_letters")
    assert (handler, attempts) == ("send_mail/in_time", 1)
    assert error.startswith("PermanentFailure: ")


@pytest.mark.parametrize("locale", ["", "zh_CN.UTF-8", "no locale \x00 at all", "x" * 10_000, None])
async def test_a_mail_goes_out_whatever_the_locale_says(world: World, locale: str | None) -> None:
    desk = Desk(world)
    group = _notifications(world)
    async with mailing(desk):
        await desk.router(group).handle(messages(requested(world, locale=locale)))

        await desk.all_done(group)

    await eventually(world.mails, what="the mail")
    assert await world.count("dead_letters") == 0
