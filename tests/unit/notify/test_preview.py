from datetime import UTC, datetime

import pytest

from usercenter.clock import HeldClock
from usercenter.config.model import Mail
from usercenter.notify.errors import TemplateUnknown
from usercenter.notify.preview import preview, preview_html, preview_text, templates, texts


def test_a_preview_shows_readable_headers_and_the_text():
    clock = HeldClock(datetime(2026, 11, 24, tzinfo=UTC))
    shown = preview("welcome", "zh-CN", mail=Mail(sender="用户中心 <a@b.example>"), clock=clock)
    headers, _, text = shown.partition("\n\n")
    assert "From: 用户中心 <a@b.example>\nTo: test@example.com\nSubject: 欢迎使用 usercenter\n" in headers
    assert "Date: Tue, 24 Nov 2026 00:00:00 +0000" in headers
    assert text.startswith("欢迎您，testuser\n")


@pytest.mark.parametrize("template", templates())
def test_each_template_can_be_seen_with_nothing_but_its_name(template):
    assert preview(template, "en").startswith("From: ")
    assert preview_html(template, "zh-CN").startswith("<!DOCTYPE html>")


def test_the_preview_of_an_unknown_template_names_those_that_exist():
    with pytest.raises(TemplateUnknown, match=r"there are: .*welcome"):
        preview("farewell", "en")


@pytest.mark.parametrize("template", texts())
@pytest.mark.parametrize("locale", ["en", "zh-CN"])
def test_each_text_message_can_be_seen_too_on_its_one_line(template, locale):
    shown = preview_text(template, locale, mail=Mail(product_name="Acme"))
    assert "Acme" in shown
    assert "\n" not in shown


def test_a_mail_that_is_no_text_message_names_those_that_are():
    with pytest.raises(TemplateUnknown, match=r"no template 'welcome' for SMS; there are: .*status_changed"):
        preview_text("welcome", "en")
