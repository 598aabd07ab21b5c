"""Text messages: short, on one line, in the reader's language and time."""

import pytest

from usercenter.config.model import Mail
from usercenter.notify.errors import TemplateParameterInvalid, TemplateParameterMissing, TemplateUnknown
from usercenter.notify.preview import sample_of
from usercenter.notify.texts import LONGEST, render_text, text_locales, texts

EACH_TEXT = [(template, locale) for template in texts() for locale in text_locales(template)]


def text_of(template: str, locale: str, *, time_zone: str = "UTC", **changes) -> str:
    parameters = sample_of(template) | changes
    return render_text(template, locale, parameters, to="+4915112345678", mail=Mail(), time_zone=time_zone).body


def test_three_templates_are_written_as_text_messages_in_both_locales():
    assert texts() == ["password_changed", "status_changed", "suspicious_login"]
    assert {locale for _, locale in EACH_TEXT} == {"en", "zh-CN"}
    assert len(EACH_TEXT) == 6


@pytest.mark.parametrize(("template", "locale"), EACH_TEXT)
def test_each_text_is_one_short_line_that_names_product_and_account(template, locale):
    body = text_of(template, locale)
    assert len(body) < 180
    assert "\n" not in body
    assert "usercenter" in body
    assert "testuser" in body


def test_the_time_is_the_readers_own():
    assert "November 24, 2026, 3:04 PM (China Standard Time)" in text_of(
        "password_changed", "en", time_zone="Asia/Shanghai"
    )
    assert "2026年11月24日 08:04（中欧标准时间）" in text_of("password_changed", "zh-CN", time_zone="Europe/Berlin")


def test_a_long_reason_is_cut_and_so_is_the_whole():
    assert len(text_of("status_changed", "en", reason="x " * 500)) < 180
    assert len(text_of("status_changed", "en", username="x" * 500)) == LONGEST


def test_strangers_words_stay_on_the_line_and_markup_is_no_markup():
    body = text_of("status_changed", "en", username="li\r\n\u202eevil <b>{{ 7 }}")
    assert "li evil <b>{{ 7 }}" in body


def test_a_missing_parameter_is_named():
    with pytest.raises(TemplateParameterMissing, match="status_changed/en: 'username' is undefined"):
        render_text("status_changed", "en", {}, to="+4915112345678", mail=Mail())


def test_a_parameter_of_the_wrong_type_is_refused():
    with pytest.raises(TemplateParameterInvalid, match="wrong type"):
        text_of("status_changed", "en", reason=7)
    with pytest.raises(TemplateParameterInvalid, match="a moment must be written like"):
        text_of("password_changed", "en", when="yesterday")


def test_a_template_without_a_text_names_those_that_have_one():
    with pytest.raises(TemplateUnknown, match="no template 'welcome' for SMS; there are: password_changed"):
        render_text("welcome", "en", {}, to="+4915112345678", mail=Mail())
