"""What is hidden of events, headers and errors, and what stays."""

import pytest

from usercenter.events.masking import fields_of_bytes, masked_event, masked_headers, masked_text

EVENT = b'{"type":"user.updated","username":"ada","changes":{"phone":"+49 30 123456","tags":["x-ray"]},"sequence":7}'


def test_an_event_keeps_the_names_of_its_fields_and_what_tells_nothing() -> None:
    assert masked_event({"type": "user.updated", "sequence": 7, "email": "ada@example.com", "favourite": 3}) == {
        "type": "user.updated",
        "sequence": 7,
        "email": "***",
        "favourite": "***",
    }


def test_headers_of_strangers_are_hidden() -> None:
    assert masked_headers({"ce_type": "user.updated", "x-user": "ada"}) == {"ce_type": "user.updated", "x-user": "***"}


def test_an_error_does_not_tell_what_the_event_says() -> None:
    assert masked_text("KeyError: no ada here, nor x-ray", EVENT) == "KeyError: no *** here, nor ***"


@pytest.mark.parametrize(
    "secret",
    [
        "'ada lovelace'",
        '"ada"',
        "ada.b+c@mail.example.com",
        "+49 30 123456-7",
        "93.184.216.34",
        "2a00:1450::17",
        "Key (email)=(ada@example.com) already exists",
        "Failing row contains (1, ada, (x), null)",
    ],
)
def test_whatever_looks_like_a_person_is_hidden(secret: str) -> None:
    shown = masked_text(f"OSError: 550 refused {secret}.")

    assert shown.startswith("OSError: 550 refused ")
    assert "***" in shown
    for part in ("ada", "123456", "93.184", "2a00", "x"):
        assert part not in shown.removeprefix("OSError: 550 refused ").replace("exists", "")


@pytest.mark.parametrize(
    "harmless",
    [
        "TimeoutError",
        "OSError: [Errno 111] Connect call failed",
        "LookupError: event 01a22461-9101-778f-bf70-fe767716e82e",
        "at `$.x`",
        "no 10.0.0.7",
    ],
)
def test_what_tells_nothing_stays(harmless: str) -> None:
    assert masked_text(harmless, EVENT) == harmless


@pytest.mark.parametrize("value", [None, b"", b"[1]", b"\xff", b'"text"'])
def test_bytes_that_are_no_object_have_no_fields(value: bytes | None) -> None:
    assert fields_of_bytes(value) is None
    assert masked_text("plain", value) == "plain"
