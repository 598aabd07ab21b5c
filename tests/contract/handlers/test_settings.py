"""A new user's settings."""

from datetime import UTC, datetime
from uuid import UUID

from harness import World
from receiving import messages

from usercenter.events import UserRegistered, new_id
from usercenter.messaging.router import Router


def registered(user_id: UUID, locale: str | None = None) -> UserRegistered:
    return UserRegistered(
        id=new_id(),
        timestamp=datetime(2026, 7, 1, tzinfo=UTC),
        user_id=user_id,
        username="ada",
        email="ada@example.com",
        locale=locale,
    )


async def test_a_new_user_gets_settings_in_the_locale_of_the_event_or_of_the_house(
    world: World, router: Router
) -> None:
    chinese, plain = new_id(), new_id()

    await router.handle(messages(registered(chinese, "zh-CN"), registered(plain)))

    rows = await world.rows("select user_id, locale, time_zone, notifications from user_settings")
    accounts = world.config.accounts
    first_choices = {"mail": True, "sms": False}
    assert {row[0]: row[1:] for row in rows} == {
        chinese: ("zh-CN", accounts.default_time_zone, first_choices),
        plain: (accounts.default_locale, accounts.default_time_zone, first_choices),
    }


async def test_one_who_has_settings_keeps_them(world: World, router: Router) -> None:
    user = new_id()
    await router.handle(messages(registered(user, "zh-CN")))

    await router.handle(messages(registered(user, "en")))

    assert await world.rows("select locale from user_settings") == [("zh-CN",)]


async def test_of_two_registrations_of_one_user_in_one_batch_the_first_one_counts(world: World, router: Router) -> None:
    user = new_id()

    await router.handle(messages(registered(user, "zh-CN"), registered(user, "en")))

    assert await world.rows("select locale from user_settings") == [("zh-CN",)]
