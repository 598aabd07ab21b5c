"""/api/v1/users/me/settings."""

import pytest
from doorway import Door, fields, problem
from owner import Owner, owner_at

DEFAULTS = {"locale": "en", "time_zone": "UTC", "notifications": {"mail": True, "sms": False, "quiet_hours": None}}
QUIET = {"from": "22:00", "to": "07:00"}


@pytest.fixture
async def ada(door: Door) -> Owner:
    return await owner_at(door)


async def test_the_first_settings_are_the_defaults(ada: Owner):
    answer = await ada.send("GET", "/me/settings")

    assert (answer.status_code, answer.json()) == (200, DEFAULTS)


async def test_the_language_of_the_registration_is_the_settings_language_from_the_start(door: Door):
    li = await owner_at(door, locale="zh-CN")

    assert (await li.send("GET", "/me/settings")).json()["locale"] == "zh-CN"
    assert (await li.send("PATCH", "/me/settings", {"time_zone": "Asia/Shanghai"})).json()["locale"] == "zh-CN"


async def test_patch_changes_what_is_given_alone(ada: Owner):
    await ada.send("PATCH", "/me/settings", {"notifications": {"quiet_hours": QUIET}})
    answer = await ada.send("PATCH", "/me/settings", {"time_zone": "Europe/Berlin", "notifications": {"sms": True}})

    expected = {"mail": True, "sms": True, "quiet_hours": QUIET}
    assert answer.json() == {"locale": "en", "time_zone": "Europe/Berlin", "notifications": expected}
    assert (await ada.send("GET", "/me/settings")).json() == answer.json()


async def test_put_replaces_all(ada: Owner):
    await ada.send("PATCH", "/me/settings", {"notifications": {"mail": False, "quiet_hours": QUIET}})
    answer = await ada.send("PUT", "/me/settings", {"locale": "zh-CN", "time_zone": "Asia/Shanghai"})

    assert answer.json() == DEFAULTS | {"locale": "zh-CN", "time_zone": "Asia/Shanghai"}


async def test_a_change_is_told_and_no_change_is_not(ada: Owner):
    for _ in range(2):
        await ada.send("PATCH", "/me/settings", {"locale": "zh-CN"})

    _, event = await ada.events()
    assert (event["type"], event["actor"], event["changes"]) == (
        "user.updated",
        ada.id,
        {"settings": {"locale": "zh-CN"}},
    )


async def test_the_language_is_the_same_in_the_account_and_in_the_settings(ada: Owner):
    await ada.send("PATCH", "/me/settings", {"locale": "zh-CN"})
    assert (await ada.send("GET", "/me")).json()["user"]["locale"] == "zh-CN"

    await ada.send("PATCH", "/me", {"locale": "en"})
    assert (await ada.send("GET", "/me/settings")).json()["locale"] == "en"


@pytest.mark.parametrize(
    ("method", "body", "wrong"),
    [
        ("PUT", {}, {"locale": "missing", "time_zone": "missing"}),
        ("PATCH", {"locale": "no language"}, {"locale": "locale"}),
        ("PATCH", {"locale": None}, {"locale": "type"}),
        ("PATCH", {"time_zone": "Mars/Olympus"}, {"time_zone": "time_zone"}),
        ("PATCH", {"time_zone": "../../etc/passwd"}, {"time_zone": "time_zone"}),
        ("PATCH", {"notifications": None}, {"notifications": "type"}),
        (
            "PATCH",
            {"notifications": {"fax": True, "sms": "yes"}},
            {"notifications.fax": "unknown", "notifications.sms": "type"},
        ),
        (
            "PATCH",
            {"notifications": {"quiet_hours": {"from": "24:00", "to": "7"}}},
            {"notifications.quiet_hours.from": "time", "notifications.quiet_hours.to": "time"},
        ),
        ("PATCH", {"theme": "dark"}, {"theme": "unknown"}),
    ],
)
async def test_a_wrong_change_names_every_wrong_field(ada: Owner, method, body, wrong):
    assert fields(problem(await ada.send(method, "/me/settings", body), 400, "invalid_fields")) == wrong
    assert len(await ada.events()) == 1
