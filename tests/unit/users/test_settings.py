"""A user's settings: what is accepted, and when it is quiet."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usercenter.config.model import Accounts
from usercenter.users.errors import InvalidFields
from usercenter.users.settings import (
    Notifications,
    QuietHours,
    UserSettings,
    changed,
    defaults,
    of_row,
    problems_of,
    quiet_seconds,
)

NIGHT = QuietHours(begin="22:00", to="07:00")
NOON = QuietHours(begin="12:00", to="13:30")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("hours", "zone", "now", "seconds"),
    [
        (NIGHT, "UTC", "2026-11-24T21:59:59Z", 0),
        (NIGHT, "UTC", "2026-11-24T22:00:00Z", 9 * 3600),
        (NIGHT, "UTC", "2026-11-25T00:00:00Z", 7 * 3600),
        (NIGHT, "UTC", "2026-11-25T06:59:30Z", 30),
        (NIGHT, "UTC", "2026-11-25T07:00:00Z", 0),
        (NOON, "UTC", "2026-11-25T13:00:00Z", 1800),
        (NOON, "UTC", "2026-11-25T11:59:00Z", 0),
        (NIGHT, "Asia/Shanghai", "2026-11-24T14:00:00Z", 9 * 3600),
        (NIGHT, "Asia/Shanghai", "2026-11-24T23:00:00Z", 0),
        (NIGHT, "Asia/Kathmandu", "2026-11-25T01:00:00Z", 15 * 60),
        (None, "UTC", "2026-11-24T23:00:00Z", 0),
    ],
)
def test_it_is_quiet_from_the_first_minute_to_the_last_in_the_users_own_time(hours, zone, now, seconds):
    assert quiet_seconds(hours, zone, at(now)) == seconds


def test_a_night_in_which_the_clocks_go_forward_is_an_hour_shorter():
    assert quiet_seconds(NIGHT, "Europe/Berlin", at("2026-03-28T22:00:00+01:00")) == 8 * 3600


def test_a_night_in_which_the_clocks_go_back_is_an_hour_longer():
    assert quiet_seconds(NIGHT, "Europe/Berlin", at("2026-10-24T22:00:00+02:00")) == 10 * 3600


def test_an_hour_that_comes_twice_is_quiet_both_times():
    hours = QuietHours(begin="02:00", to="02:30")
    assert quiet_seconds(hours, "Europe/Berlin", at("2026-10-25T02:10:00+02:00")) == 20 * 60
    assert quiet_seconds(hours, "Europe/Berlin", at("2026-10-25T02:45:00+02:00")) == 0
    assert quiet_seconds(hours, "Europe/Berlin", at("2026-10-25T02:10:00+01:00")) == 20 * 60


def test_an_end_that_the_clocks_skip_still_comes():
    hours = QuietHours(begin="22:00", to="02:30")
    now = at("2026-03-29T01:00:00+01:00")
    end = now + timedelta(seconds=quiet_seconds(hours, "Europe/Berlin", now))
    assert end <= at("2026-03-29T03:30:00+02:00")


TIMES = st.times().map(lambda time: f"{time:%H:%M}")


@given(
    st.tuples(TIMES, TIMES).filter(lambda pair: pair[0] != pair[1]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"]),
    st.integers(1_577_836_800, 2_051_222_400).map(lambda second: datetime.fromtimestamp(second, UTC)),
)
def test_quiet_hours_always_end_within_a_day_and_the_jump_of_a_clock(pair, zone, now):
    hours = QuietHours(begin=pair[0], to=pair[1])
    for _ in range(3):
        seconds = quiet_seconds(hours, zone, now)
        assert 0 <= seconds <= 25 * 3600
        if seconds == 0:
            return
        now += timedelta(seconds=seconds)
    pytest.fail("still quiet after its end")


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"locale": "xx-YY"}, "locale", "locale"),
        ({"locale": 7}, "locale", "locale"),
        ({"time_zone": "Mars/Base"}, "time_zone", "time_zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone", "time_zone"),
        ({"time_zone": ""}, "time_zone", "time_zone"),
        ({"time_zone": None}, "time_zone", "time_zone"),
        ({"colour": "red"}, "colour", "unknown"),
        ({"notifications": []}, "notifications", "type"),
        ({"notifications": {"mail": "yes"}}, "notifications.mail", "type"),
        ({"notifications": {"fax": True}}, "notifications.fax", "unknown"),
        ({"notifications": {"quiet_hours": "night"}}, "notifications.quiet_hours", "type"),
        ({"notifications": {"quiet_hours": {"from": "22:00"}}}, "notifications.quiet_hours", "type"),
        (
            {"notifications": {"quiet_hours": {"from": "24:00", "to": "07:00"}}},
            "notifications.quiet_hours.from",
            "time",
        ),
        ({"notifications": {"quiet_hours": {"from": "22:00", "to": "7"}}}, "notifications.quiet_hours.to", "time"),
        ({"notifications": {"quiet_hours": {"from": "22:00", "to": "22:00"}}}, "notifications.quiet_hours", "length"),
    ],
)
def test_a_wrong_setting_is_named_by_its_path(fields, field, code):
    (problem,) = problems_of(fields)
    assert (problem.field, problem.code) == (field, code)


def test_every_wrong_setting_is_told_at_once():
    with pytest.raises(InvalidFields) as refused:
        changed(defaults(Accounts()), {"locale": "?", "time_zone": "?", "notifications": {"sms": 1}})
    assert [problem.field for problem in refused.value.problems] == ["locale", "time_zone", "notifications.sms"]


def test_what_is_not_given_stays():
    present = UserSettings(locale="en", time_zone="UTC", notifications=Notifications(sms=True, quiet_hours=NIGHT))
    new = changed(present, {"time_zone": "Asia/Shanghai", "notifications": {"mail": False}})
    assert new == UserSettings(
        locale="en", time_zone="Asia/Shanghai", notifications=Notifications(mail=False, sms=True, quiet_hours=NIGHT)
    )
    assert changed(present, {"notifications": {"quiet_hours": None}}).notifications.quiet_hours is None


def test_without_a_row_the_configured_defaults_hold():
    accounts = Accounts(default_locale="zh-CN", default_time_zone="Asia/Shanghai")
    assert of_row(None, accounts) == UserSettings(locale="zh-CN", time_zone="Asia/Shanghai")
    stored = ("en", None, {"mail": False, "quiet_hours": {"from": "22:00", "to": "07:00"}})
    assert of_row(stored, accounts).notifications == Notifications(mail=False, quiet_hours=NIGHT)
