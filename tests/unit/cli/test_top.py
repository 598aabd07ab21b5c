"""A frame of `top`: what it says, in how many lines, and nothing that a terminal obeys."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from rich.console import Console

from usercenter.cli.top_frame import frame, seconds
from usercenter.messaging.open_breakers import OpenBreaker, Told
from usercenter.messaging.operations.pulse import PASSED, Behind, Pulse, Work, rates

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def work(name: str, **fields: object) -> Work:
    facts = {"waiting": 0, "parked": 0, "trying": 0, "dead": 0, "oldest_at": None, "next_at": None} | fields
    return Work(handler=name, **facts)  # type: ignore[arg-type]


PULSE = Pulse(
    at=NOW,
    outbox=1234,
    outbox_seconds=7.4,
    tasks=3,
    dead=2,
    processes={"relay": 2, "tasks": 1},
    passed=dict.fromkeys(PASSED, 100),
    behind=[
        Behind(group="usercenter", seconds=180.0, lag=5678),
        Behind(group="other", seconds=None, lag=None),
    ],
    lags_at=NOW - timedelta(seconds=4),
    work=[work("send_mail", parked=3, dead=2, oldest_at=NOW - timedelta(hours=3), next_at=NOW + timedelta(seconds=9))],
    stops=[("send_mail", "50 dead letters\x1b[2J in a row")],
    breakers=[
        Told(
            process="one:1",
            breakers=[
                OpenBreaker(
                    handler=f"deliver_webhook/{number}\x1b[2J",
                    since=NOW - timedelta(seconds=42),
                    next_try_at=NOW + timedelta(seconds=number * 18),
                )
                for number in range(6)
            ],
        )
    ],
)


def drawn(pulse: Pulse, *, width: int = 80, height: int = 24, keys: str = "q quits") -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, highlight=False)
    console.print(frame(pulse, rates(None, pulse), height=height, keys=keys))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_a_frame_says_what_lies_where_and_how_far_behind():
    text = "\n".join(drawn(PULSE))

    assert "relays 2  workers 1" in text
    assert "1,234 (7.4 s)" in text
    assert "3 min" in text
    assert "lag, 4.0 s ago" in text
    assert "5,678" in text
    assert text.count("unknown") == 2
    assert "3 h" in text
    assert "stopped: send_mail: 50 dead letters\\x1b[2J in a row" in text
    assert "left alone: deliver_webhook/1\\x1b[2J for 42 s, next try in 18 s (one:1)" in text
    assert "left alone: deliver_webhook/0\\x1b[2J for 42 s, being tried (one:1)" in text
    assert "… and 2 more left alone" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 50), (60, 16)])
def test_a_frame_fits_however_many_handlers_there_are(width, height):
    many = replace(PULSE, work=[work(f"handler_{number}") for number in range(100)])
    lines = drawn(many, width=width, height=height)

    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert "more handlers" in "\n".join(lines)


def test_keys_are_named_only_where_some_may_be_pressed():
    assert "q quits" in "\n".join(drawn(PULSE))
    assert "q quits" not in "\n".join(drawn(PULSE, keys=""))


def test_rates_are_what_passed_between_two_looks():
    later = replace(PULSE, at=NOW + timedelta(seconds=2), passed=dict.fromkeys(PASSED, 150))

    assert set(rates(PULSE, later).values()) == {25.0}
    assert set(rates(None, later).values()) == {None}
    assert set(rates(later, replace(later, at=NOW + timedelta(seconds=4))).values()) == {0.0}


@pytest.mark.parametrize(
    ("value", "text"), [(-1, "0.0 s"), (0.44, "0.4 s"), (59, "59 s"), (180, "3 min"), (7200, "2 h")]
)
def test_seconds_are_said_as_people_say_them(value, text):
    assert seconds(value) == text
