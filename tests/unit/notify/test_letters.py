"""Letters: every template in every locale, and what strangers' parameters can do to them (nothing)."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usercenter.config.model import Mail
from usercenter.notify.errors import TemplateParameterMissing, TemplateUnknown
from usercenter.notify.letters import render, templates, written_locales
from usercenter.notify.preview import sample_of

EACH_LETTER = [(template, locale) for template in templates() for locale in written_locales(template)]
SETTINGS = [Mail(), Mail(product_name="腾云账户", public_url="https://id.example", support_address="help@id.example")]


def welcome(username: str, *, locale: str = "en", mail: Mail = SETTINGS[0]):
    return render("welcome", locale, {"username": username, "email": "a@b.example"}, to="a@b.example", mail=mail)


def visible(page: str) -> str:
    """What a reader sees of the HTML, and where its links lead, as one line."""
    body = re.sub(r"(?s)<head>.*?</head>|<!--.*?-->", " ", page)
    body = re.sub(r'<a href="(?!mailto:)([^"]*)"[^>]*>(.*?)</a>', r"\2 \1 ", body, flags=re.DOTALL)
    return "".join(html.unescape(re.sub(r"<[^>]+>", "", body)).split())


@pytest.mark.parametrize(("template", "locale"), EACH_LETTER)
@pytest.mark.parametrize("mail", SETTINGS)
def test_each_template_renders_with_its_sample_and_says_the_same_in_text_and_html(template, locale, mail):
    letter = render(template, locale, sample_of(template), to="a@b.example", mail=mail)
    seen = visible(letter.html)
    for line in letter.text.replace("--\n", "").split("\n"):
        for phrase in line.split(" · "):
            assert "".join(phrase.split()) in seen
    assert letter.locale == locale
    assert letter.subject
    assert f'<html lang="{locale}">' in letter.html
    assert mail.public_url in letter.text
    assert mail.support_address in letter.text
    assert mail.support_address in letter.html


@pytest.mark.parametrize("template", templates())
def test_each_template_is_written_in_both_locales(template):
    assert written_locales(template) == ["en", "zh-CN"]


@pytest.mark.parametrize(("template", "locale"), EACH_LETTER)
def test_each_locale_needs_the_same_parameters(template, locale):
    sample = sample_of(template)
    for name in sample:
        parameters = {key: value for key, value in sample.items() if key != name}
        with pytest.raises(TemplateParameterMissing, match=f"{template}/{locale}: '{name}' is undefined"):
            render(template, locale, parameters, to="a@b.example", mail=Mail())


@pytest.mark.parametrize(("template", "locale"), EACH_LETTER)
def test_the_html_loads_nothing_from_elsewhere(template, locale):
    page = render(template, locale, sample_of(template), to="a@b.example", mail=Mail()).html
    assert not re.search(r"<(img|script|link|iframe)|src=|url\(|@import", page)


def test_an_unknown_template_names_those_that_exist():
    with pytest.raises(TemplateUnknown, match=r"no template '\.\./welcome'; there are: .*welcome"):
        render("../welcome", "en", {}, to="a@b.example", mail=Mail())


def test_markup_in_a_name_is_shown_not_run():
    letter = welcome('<script>alert(1)</script>"><img src=x onerror=y>')
    assert "<script" not in letter.html
    assert "<img" not in letter.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in letter.html
    assert "<script>alert(1)</script>" in letter.text


def test_a_name_with_template_code_is_only_a_name():
    assert "{{ 7 * 7 }}{% raw %}" in welcome("{{ 7 * 7 }}{% raw %}").text


def test_line_breaks_in_a_name_add_no_line():
    assert welcome("li\r\nBcc: all@b.example\n\n\u2028x").text.splitlines()[0] == "Welcome, li Bcc: all@b.example x"


def test_the_writing_direction_cannot_be_turned():
    letter = welcome("li\u202egnp.exe\u2066\u200f")
    assert "Welcome, lignp.exe" in letter.text
    assert not re.search("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", letter.text + letter.html)


@pytest.mark.parametrize("name", ["👩‍👩‍👧‍👦", "محمد", "李雷", "Nguyễn", "נועה"])
def test_names_of_the_whole_world_stay_as_they_are(name):
    letter = welcome(name)
    assert f"Welcome, {name}\n" in letter.text
    assert f"<bdi>{name}</bdi>" in letter.html


@given(st.text())
def test_no_name_brings_a_line_or_a_tag_into_the_letter(name):
    letter, plain = welcome(name), welcome("li")
    assert letter.text.count("\n") == plain.text.count("\n")
    assert re.findall(r"<\w+", letter.html) == re.findall(r"<\w+", plain.html)
    (letter.subject + letter.text + letter.html).encode()


def test_parameters_cannot_change_what_the_house_says_of_itself():
    parameters = {"username": "li", "email": "a@b.example", "public_url": "https://evil.example", "locale": "xx"}
    letter = render("welcome", "en", parameters, to="a@b.example", mail=Mail())
    assert "evil" not in letter.text + letter.html
    assert 'lang="en"' in letter.html


def test_nobody_can_unsubscribe_from_a_letter_without_such_a_link():
    assert welcome("li").headers == {}


def test_an_unsubscribe_link_makes_the_letter_offer_one_click():
    parameters = {"username": "li", "email": "a@b.example"}
    url = "https://id.example/unsubscribe?who=1"
    letter = render("welcome", "en", parameters, to="a@b.example", mail=Mail(), unsubscribe_url=url)
    assert letter.headers == {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


@pytest.mark.parametrize(
    ("product", "sentence"),
    [("usercenter", "您的 usercenter 账号"), ("腾云", "您的腾云账号"), ("Acme 账户", "您的 Acme 账户账号")],
)
def test_a_product_name_is_set_apart_from_chinese_only_where_it_is_not_chinese(product, sentence):
    letter = welcome("li", locale="zh-CN", mail=Mail(product_name=product))
    assert sentence in letter.text
    assert sentence in letter.html
