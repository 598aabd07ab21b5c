"""The message that a letter becomes: its headers, its lines, and what strangers cannot write into it."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usercenter.clock import HeldClock
from usercenter.config.model import Mail
from usercenter.notify.errors import MailRefused
from usercenter.notify.letters import Letter
from usercenter.notify.mime import compose, message_id

CLOCK = HeldClock(datetime(2026, 11, 24, 9, 30, tzinfo=UTC))


def letter(**changes) -> Letter:
    plain = {"to": "li@example.com", "subject": "Hello", "text": "Hello\n", "html": "<p>Hello</p>", "locale": "en"}
    return Letter(**(plain | changes))


def octets_of(letter: Letter, *, mail: Mail | None = None, notification_id: str = "n-1") -> bytes:
    return compose(letter, notification_id=notification_id, mail=mail or Mail(), clock=CLOCK).octets


def read(octets: bytes):
    return message_from_bytes(octets, policy=default)


def test_the_headers_are_those_that_mail_providers_expect():
    mail = Mail(sender="用户中心 <no-reply@id.example>", reply_to="Help <help@id.example>")
    message = read(octets_of(letter(subject="欢迎使用", locale="zh-CN"), mail=mail))
    assert {name: message[name] for name in message if name != "Content-Type"} == {
        "From": "用户中心 <no-reply@id.example>",
        "To": "li@example.com",
        "Subject": "欢迎使用",
        "Date": "Tue, 24 Nov 2026 09:30:00 +0000",
        "Message-ID": "<n-1@id.example>",
        "MIME-Version": "1.0",
        "Reply-To": "Help <help@id.example>",
        "Content-Language": "zh-CN",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert all(part.get_content_charset() == "utf-8" for part in message.iter_parts())


def test_no_reply_to_unless_it_is_set():
    assert "Reply-To" not in read(octets_of(letter()))


def test_one_notification_has_one_message_id_at_every_attempt():
    clock = HeldClock(datetime(2027, 1, 1, tzinfo=UTC))
    again = compose(letter(subject="Other"), notification_id="n-1", mail=Mail(), clock=clock)
    assert again.message_id == read(octets_of(letter()))["Message-ID"] == "<n-1@usercenter.example>"


@pytest.mark.parametrize("strange", ["", "a b", "x>\r\nBcc: y", "é", ".", "a..b", "x" * 200, "\ud800"])
def test_an_id_that_could_not_stand_in_a_header_is_replaced_by_its_digest(strange):
    made = message_id(strange, "id.example")
    assert len(made) == len("<@id.example>") + 64
    assert made == message_id(strange, "id.example")


def test_a_long_sender_domain_leaves_the_message_id_whole():
    domain = "notifications.of.a.very.large.company.with.a.long.name.example"
    octets = octets_of(letter(), mail=Mail(sender=f"no-reply@{domain}"), notification_id="0" * 36)
    assert f"\r\nMessage-ID: <{'0' * 36}@{domain}>\r\n".encode() in octets


def test_a_long_unsubscribe_link_stays_whole():
    link = f"<https://id.example/{'u' * 300}>"
    headers = {"List-Unsubscribe": link, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    octets = octets_of(letter(headers=headers))
    assert f"\r\nList-Unsubscribe: {link}\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n".encode() in octets


@pytest.mark.parametrize("word", ["word ", "字", "x", "é", "👩‍👩‍👧"])
def test_no_line_is_long_whatever_the_letter_says(word):
    octets = octets_of(letter(subject=word * 500, text=word * 3000, html=f"<p>{word * 3000}</p>"))
    assert octets.isascii()
    assert max(map(len, octets.split(b"\r\n"))) <= 78
    assert read(octets).get_body(("plain",)).get_content().strip() == (word * 3000).strip()


def test_a_subject_adds_no_header():
    message = read(octets_of(letter(subject="Hello\r\nBcc: all@b.example\r\n\r\nbody")))
    assert "Bcc" not in message
    assert message["Subject"] == "Hello Bcc: all@b.example body"


@given(st.text())
def test_no_subject_is_too_strange(subject):
    message = read(octets_of(letter(subject=subject)))
    assert len(message) == 10
    assert message["To"] == "li@example.com"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "li",
        "@",
        "li@",
        "@b.example",
        "li@b.example\r\nBcc: x@y.example",
        "li@b.example>, <x@y.example",
        "a b@c.example",
        "li@b..example",
        "li@-b.example",
        "li\x00@b.example",
        "\ud800@b.example",
        f"li@{'x' * 64}.example",
    ],
)
def test_an_address_that_smtp_cannot_carry_is_refused_for_good_and_not_repeated(address):
    with pytest.raises(MailRefused) as caught:
        octets_of(letter(to=address))
    assert len(address) < 4 or address not in str(caught.value)


@pytest.mark.parametrize("address", ["root@localhost", "li@mail.corp.local", "o'neil+x@b.example", "li@xn--fsqu00a.cn"])
def test_addresses_of_inner_networks_are_fine(address):
    assert read(octets_of(letter(to=address)))["To"] == address


def test_a_domain_in_chinese_needs_no_smtputf8():
    assert b"\r\nTo: li@xn--fsqu00a.cn\r\n" in octets_of(letter(to="li@例子.cn"))


def test_a_name_before_the_at_in_chinese_is_written_in_utf8():
    assert "\r\nTo: 李雷@xn--fsqu00a.cn\r\n".encode() in octets_of(letter(to="李雷@例子.cn"))
