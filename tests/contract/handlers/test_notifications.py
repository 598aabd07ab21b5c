"""What becomes of a request on `user.notifications`: real PostgreSQL, a real SMTP server, a real HTTP provider."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec
import pytest
from harness import World
from msgspec.structs import replace

from usercenter.clock import HeldClock
from usercenter.config.model import Accounts, Mail, Recovery, Sms
from usercenter.db import Database
from usercenter.embedded.mail_catcher import CaughtMail
from usercenter.embedded.sms_catcher import CaughtSms
from usercenter.events import (
    NotificationRequested,
    Origin,
    UserEvent,
    UserPasswordChanged,
    UserStatusChanged,
    UserUpdated,
)
from usercenter.handlers.notices import ask_for_security_mail, ask_for_status_notice, tell_old_address
from usercenter.handlers.notifications import mail_lanes, send_mail, send_sms, sms_lanes
from usercenter.messaging.groups import Context, NotYet, PermanentFailure
from usercenter.notify.mail import Mailer
from usercenter.notify.sms import SmsProvider, provider_of
from usercenter.users import recovery, settings
from usercenter.users.model import Draft, User
from usercenter.users.one_time_links import OneTimeLinks
from usercenter.users.reset_limits import ResetLimits
from usercenter.users.service import register, update
from usercenter.users.settings import Notifications, QuietHours, UserSettings
from usercenter.users.signed_tokens import SignedTokens

EVENING = datetime(2026, 11, 24, 23, 0, tzinfo=UTC)
PHONE = "+4915112345678"


class Scene(NamedTuple):
    """One user, and what the handlers get."""

    world: World
    user: User
    context: Context
    tokens: SignedTokens
    clock: HeldClock

    def request(self, **fields: Any) -> NotificationRequested:
        defaults: dict[str, Any] = {
            "id": uuid4(),
            "timestamp": EVENING,
            "user_id": self.user.id,
            "template": "welcome",
            "parameters": {"username": "ada", "email": self.user.email},
        }
        return NotificationRequested(**defaults | fields)

    async def choose(self, **fields: Any) -> None:
        chosen = UserSettings(**{"locale": "en", "time_zone": "UTC"} | fields)
        async with self.world.database.transaction() as tx:
            await settings.write(tx, self.user.id, chosen, now=EVENING)

    def texts(self) -> list[CaughtSms]:
        assert self.world.parts.sms is not None
        return [text for text in self.world.parts.sms.texts if text.to == self.user.phone]

    def mails(self) -> list[CaughtMail]:
        return self.world.mails()

    async def asked(self) -> list[NotificationRequested]:
        """What lies in the outbox for user.notifications."""
        rows = await self.world.rows(
            "select payload from outbox where type = 'notification.requested' order by position"
        )
        return [msgspec.json.decode(payload, type=NotificationRequested) for (payload,) in rows]


@pytest.fixture
async def scene(world: World) -> AsyncIterator[Scene]:
    config, clock = world.config, HeldClock(EVENING)
    mailer, provider = Mailer(config.mail), provider_of(config.sms)
    tokens = SignedTokens(b"k" * 32)
    context = Context(
        clock=clock,
        services={
            Database: world.database,
            Mailer: mailer,
            SmsProvider: provider,
            Mail: config.mail,
            Sms: config.sms,
            Accounts: Accounts(),
            OneTimeLinks: OneTimeLinks(tokens, config.mail),
        },
    )
    email, phone = world.email("ada"), f"+49151{uuid4().int % 10**8:08}"
    draft = Draft(
        username="ada", username_key="ada", email=email, email_key=email, password="p", phone=phone, locale="zh-CN"
    )
    async with world.database.transaction() as tx:
        user = await register(tx, draft, password_hash="h", origin=Origin(), clock=clock)
    yield Scene(world, user, context, tokens, clock)
    await mailer.close()
    await provider.close()


async def test_a_mail_goes_to_the_users_own_address_in_the_users_language(scene: Scene) -> None:
    await send_mail(scene.request(), scene.context)
    (mail,) = scene.mails()
    assert mail.recipients == [scene.user.email]
    assert mail.message["Content-Language"] == "zh-CN"


async def test_the_language_of_the_settings_comes_before_the_accounts_and_that_of_the_request_before_both(
    scene: Scene,
) -> None:
    await scene.choose(locale="en")
    await send_mail(scene.request(), scene.context)
    await send_mail(scene.request(locale="zh"), scene.context)
    assert [mail.message["Content-Language"] for mail in scene.mails()] == ["en", "zh-CN"]


async def test_times_are_told_in_the_time_zone_of_the_settings(scene: Scene) -> None:
    await scene.choose(time_zone="Asia/Shanghai")
    parameters = {"username": "ada", "when": "2026-11-24T07:04:05Z", "ip_address": None}
    await send_mail(scene.request(template="password_changed", parameters=parameters), scene.context)
    assert "3:04 PM (China Standard Time)" in scene.mails()[0].text()


async def test_a_text_message_goes_to_the_users_own_phone_if_the_user_wants_it(scene: Scene) -> None:
    parameters = {"username": "ada", "old_status": "active", "new_status": "suspended", "reason": None}
    request = scene.request(channel="sms", template="status_changed", parameters=parameters)
    await send_sms(request, scene.context)
    assert scene.texts() == []
    await scene.choose(notifications=Notifications(sms=True))
    await send_sms(request, scene.context)
    assert "ada is now suspended (before: active)." in scene.texts()[0].body


async def test_whoever_wants_no_mail_gets_none_except_about_security(scene: Scene) -> None:
    await scene.choose(notifications=Notifications(mail=False))
    await send_mail(scene.request(), scene.context)
    await send_mail(scene.request(category="news"), scene.context)
    assert scene.mails() == []
    await send_mail(scene.request(category="security"), scene.context)
    assert len(scene.mails()) == 1


async def test_quiet_hours_are_waited_out_in_the_users_time_zone_except_by_security(scene: Scene) -> None:
    night = QuietHours(begin="22:00", to="07:00")
    await scene.choose(notifications=Notifications(quiet_hours=night), time_zone="Asia/Kolkata")
    with pytest.raises(NotYet) as wait:
        await send_mail(scene.request(), scene.context)
    assert wait.value.seconds == timedelta(hours=2, minutes=30).total_seconds()
    await send_mail(scene.request(category="security"), scene.context)
    assert len(scene.mails()) == 1
    scene.clock.advance(timedelta(hours=2, minutes=30))
    await send_mail(scene.request(), scene.context)
    assert len(scene.mails()) == 2


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"template": "farewell"}, "no template 'farewell'; there are:"),
        ({"parameters": {}}, "'username' is undefined"),
        ({"to": "not an address"}, "refused for good"),
        ({"user_id": uuid4()}, "the user has no address"),
        ({"parameters": {"username": "ada", "email": "x", "token_id": "1"}}, "leave token_id out"),
        ({"template": "password_reset", "parameters": {"link": "https://evil.example"}}, "token_id is missing"),
        ({"template": "password_reset", "parameters": {"token_id": "7"}}, "token_id is missing or no UUID"),
        ({"template": "password_reset", "parameters": {"token_id": str(uuid4())}}, "no such one-time token"),
    ],
)
async def test_a_mail_that_can_never_be_sent_says_why(scene: Scene, fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(PermanentFailure, match=reason):
        await send_mail(scene.request(**fields), scene.context)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"to": "0151 123"}, "write it like"),
        ({"template": "welcome", "to": PHONE}, "no template 'welcome' for SMS"),
        ({"template": "status_changed", "to": PHONE, "parameters": {}}, "'username' is undefined"),
        ({"user_id": uuid4()}, "the user has no phone number"),
        ({"parameters": {"token_id": str(uuid4())}}, "goes by mail alone"),
    ],
)
async def test_a_text_that_can_never_be_sent_says_why(scene: Scene, fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(PermanentFailure, match=reason):
        await send_sms(scene.request(channel="sms", category="security", **fields), scene.context)


async def _reset_request(scene: Scene) -> NotificationRequested:
    limits = ResetLimits(Recovery(), b"key")
    async with scene.world.database.transaction() as tx:
        await recovery.ask_for_reset(tx, scene.user.email, limits, origin=Origin(), clock=scene.clock)
    return (await scene.asked())[-1]


async def test_a_reset_mail_carries_a_link_with_the_token_that_no_message_has(scene: Scene) -> None:
    request = await _reset_request(scene)
    token = scene.tokens.make(UUID(request.parameters["token_id"]))
    await send_mail(request, scene.context)
    text = scene.mails()[0].text()
    assert f"http://localhost:8080/reset-password?token={token}\n" in text
    assert token.encode() not in msgspec.json.encode(request)


async def test_nobody_gets_the_link_of_another_mailbox_user_or_purpose(scene: Scene) -> None:
    request = await _reset_request(scene)
    forged: list[dict[str, Any]] = [
        {"to": scene.world.email("mallory")},
        {"user_id": uuid4(), "to": scene.user.email},
        {"template": "email_change"},
    ]
    for fields in forged:
        with pytest.raises(PermanentFailure, match="another purpose, user or address"):
            await send_mail(replace(request, **fields), scene.context)
    assert scene.mails() == []


async def test_a_link_that_no_longer_works_is_not_sent(scene: Scene) -> None:
    first = await _reset_request(scene)
    second = await _reset_request(scene)
    await send_mail(first, scene.context)
    assert scene.mails() == []
    scene.clock.advance(recovery.RESET_LIFETIME)
    await send_mail(second, scene.context)
    assert scene.mails() == []


async def test_a_confirmation_goes_to_the_new_address_alone(scene: Scene) -> None:
    new = scene.world.email("new")
    async with scene.world.database.transaction() as tx:
        await recovery.ask_for_email_change(tx, scene.user, new, origin=Origin(), clock=scene.clock)
    request = (await scene.asked())[-1]
    with pytest.raises(PermanentFailure, match="another purpose, user or address"):
        await send_mail(replace(request, to=scene.user.email), scene.context)
    await send_mail(request, scene.context)
    assert scene.mails()[0].recipients == [new]
    assert "/confirm-email?token=" in scene.mails()[0].text()


async def test_each_channel_has_its_own_lane_and_what_may_wait_never_stands_before_security(scene: Scene) -> None:
    news, alarm, text = scene.request(category="news"), scene.request(category="security"), scene.request(channel="sms")
    async with scene.world.database.transaction() as tx:
        mail = await mail_lanes([news, alarm, text], tx, scene.context)
        sms = await sms_lanes([news, alarm, text], tx, scene.context)
    assert mail == {news.id: ("in_time",), alarm.id: ("at_once",), text.id: ()}
    assert sms == {news.id: (), alarm.id: (), text.id: ("in_time",)}


def _about(scene: Scene) -> dict[str, Any]:
    return {"id": uuid4(), "timestamp": EVENING, "user_id": scene.user.id, "username": "ada", "email": scene.user.email}


async def _react(scene: Scene, handler: Any, event: UserEvent) -> list[NotificationRequested]:
    before = len(await scene.asked())
    async with scene.world.database.transaction() as tx:
        await handler([event], tx, scene.context)
    return (await scene.asked())[before:]


async def test_a_changed_password_asks_for_a_security_mail_that_can_be_sent(scene: Scene) -> None:
    event = UserPasswordChanged(**_about(scene), ip_address="203.0.113.7")
    (request,) = await _react(scene, ask_for_security_mail, event)
    assert (request.category, request.causation_id, request.to) == ("security", event.id, scene.user.email)
    await send_mail(request, scene.context)
    assert "203.0.113.7" in scene.mails()[0].text()


async def test_the_same_event_asks_under_the_same_id(scene: Scene) -> None:
    event = UserPasswordChanged(**_about(scene))
    first, second = [(await _react(scene, ask_for_security_mail, event))[0] for _ in range(2)]
    assert first.id == second.id


async def test_a_changed_status_asks_for_a_mail_and_for_a_text_only_where_it_is_wanted(scene: Scene) -> None:
    event = UserStatusChanged(**_about(scene), old_status="active", new_status="suspended", reason="spam")
    assert [request.channel for request in await _react(scene, ask_for_status_notice, event)] == ["mail"]
    await scene.choose(notifications=Notifications(mail=False, sms=True))
    async with scene.world.database.transaction() as tx:
        await tx.execute("update users set status = 'suspended'")
    mail, text = await _react(scene, ask_for_status_notice, event)
    assert (mail.channel, text.channel, mail.id == text.id) == ("mail", "sms", False)
    await send_mail(mail, scene.context)
    await send_sms(text, scene.context)
    assert "Reason: spam" in scene.mails()[0].text()
    assert "Reason: spam" in scene.texts()[0].body


async def test_without_a_provider_nobody_asks_for_a_text(scene: Scene) -> None:
    await scene.choose(notifications=Notifications(sms=True))
    context = replace(scene.context, services={**scene.context.services, Sms: Sms()})
    event = UserStatusChanged(**_about(scene), old_status="active", new_status="inactive")
    async with scene.world.database.transaction() as tx:
        await ask_for_status_notice([event], tx, context)
    assert [request.channel for request in await scene.asked()] == ["mail"]


async def test_a_changed_address_is_told_to_the_old_one(scene: Scene) -> None:
    new = scene.world.email("new")
    async with scene.world.database.transaction() as tx:
        await update(tx, scene.user.id, {"email": new}, origin=Origin(), clock=scene.clock)
    (payload,) = (await scene.world.rows("select payload from outbox where type = 'user.updated'"))[0]
    event = msgspec.json.decode(payload, type=UserUpdated)
    (request,) = await _react(scene, tell_old_address, event)
    assert request.to == scene.user.email
    await send_mail(request, scene.context)
    text = scene.mails()[0].text()
    assert f"n***@{scene.world.domain}" in text
    assert new not in text


async def test_other_changes_and_events_that_do_not_know_the_old_address_tell_nobody(scene: Scene) -> None:
    assert await _react(scene, tell_old_address, UserUpdated(**_about(scene), changes={"email": "x@y.example"})) == []
    assert await _react(scene, tell_old_address, UserUpdated(**_about(scene), changes={"first_name": "A"})) == []
