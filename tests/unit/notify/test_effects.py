"""The mails of the effects: times, links, unknown facts, and words in the reader's language."""

from datetime import UTC, datetime

import pytest

from usercenter.config.model import Mail
from usercenter.notify.errors import TemplateParameterInvalid
from usercenter.notify.filters import spoken
from usercenter.notify.letters import Letter, render
from usercenter.notify.preview import sample_of


def letter_of(template: str, locale: str = "en", *, time_zone: str = "UTC", **changes) -> Letter:
    parameters = sample_of(template) | changes
    return render(template, locale, parameters, to="a@b.example", mail=Mail(), time_zone=time_zone)


@pytest.mark.parametrize(
    ("locale", "zone", "words"),
    [
        ("en", "UTC", "November 24, 2026, 7:04 AM (Coordinated Universal Time)"),
        ("en", "America/New_York", "November 24, 2026, 2:04 AM (Eastern Standard Time)"),
        ("zh-CN", "Asia/Shanghai", "2026年11月24日 15:04（中国标准时间）"),
    ],
)
def test_a_moment_is_told_in_the_readers_language_and_time_zone(locale, zone, words):
    assert words in letter_of("password_changed", locale, time_zone=zone).text
    assert words in letter_of("password_changed", locale, time_zone=zone).html


def test_summer_time_is_told_as_such_and_a_moment_without_zone_is_utc():
    assert "Summer Time" in spoken(datetime(2026, 7, 1, 12, tzinfo=UTC), locale="en", time_zone="Europe/Berlin")
    assert spoken(datetime(2026, 7, 1, 12), locale="en", time_zone="UTC").startswith("July 1, 2026, 12:00 PM")  # noqa: DTZ001  # meant


@pytest.mark.parametrize("when", ["yesterday", "", 7, None])
def test_a_moment_that_is_none_is_refused(when):
    with pytest.raises(TemplateParameterInvalid, match="a moment must be written like"):
        letter_of("password_changed", when=when)


def test_facts_that_nobody_knows_are_left_out():
    unknown = letter_of("suspicious_login", device="", ip_address="", country="")
    assert "Device" not in unknown.text
    assert "Country" not in unknown.html
    assert "From:" not in letter_of("password_changed", ip_address=None).text
    assert "Reason" not in letter_of("status_changed", reason=None).text


def test_rules_and_countries_are_words_and_a_rule_of_tomorrow_is_readable():
    letter = letter_of("suspicious_login", "zh-CN", rules=["unreachable", "odd_hour"])
    assert "距上次登录地点过远" in letter.text
    assert "odd hour" in letter.text
    assert "德国" in letter.text
    assert "XX" in letter_of("suspicious_login", country="XX").text


def test_statuses_are_words_and_an_unknown_one_stays_as_it_is():
    assert "您的账号当前状态：冻结" in letter_of("status_changed", "zh-CN").text
    assert "archived" in letter_of("status_changed", "zh-CN", new_status="archived").text


def test_the_way_out_leads_to_the_configured_page():
    mail = Mail(public_url="https://id.example/", forgot_password_path="/help/password")
    letter = render("password_changed", "en", sample_of("password_changed"), to="a@b.example", mail=mail)
    assert "\nhttps://id.example/help/password\n" in letter.text
    assert 'href="https://id.example/help/password"' in letter.html


def test_minutes_that_are_no_number_are_refused():
    with pytest.raises(TemplateParameterInvalid, match="wrong type"):
        letter_of("email_change", minutes="soon")


def test_a_reset_says_how_long_its_link_works():
    assert "for 30 minutes" in letter_of("password_reset").text
    assert "24 小时" in letter_of("email_change", "zh-CN").text
