"""Nothing that is printed makes a terminal do anything."""

import io
import json
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cyclopts import Token

from usercenter.cli.operating import moment, who
from usercenter.cli.terminal import plain, say, short, show_facts, show_json, show_table

HOSTILE = "a\x1b[31m\x9b2J\u202e\u2028\r\nb\x00\x7f</script>"
ACTING = set("\x1b\x9b\u202e\u2028\r\x00\x7f")


def test_control_characters_are_written_out() -> None:
    assert plain(HOSTILE) == r"a\x1b[31m\x9b2J\u202e\u2028\r\nb\x00\x7f</script>"


@pytest.mark.parametrize("text", ["Zoë", "李雷", "🙂", "a b"])
def test_names_stay(text) -> None:
    assert plain(text) == text


def test_long_text_is_cut() -> None:
    assert short("x" * 100, 10) == "xxxxxxxxx…"
    assert short("x", 10) == "x"


def test_json_lets_nothing_through_and_loses_nothing(capsys) -> None:
    show_json({"text": HOSTILE})

    said = capsys.readouterr().out
    assert not ACTING & set(said)
    assert json.loads(said) == {"text": HOSTILE}


class Pieces(io.StringIO):
    """Keeps what came in one call of `write`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def write(self, text: str) -> int:
        self.found.append(text)
        return len(text)


def test_a_line_is_written_in_one_piece_so_that_no_log_line_gets_into_it(monkeypatch) -> None:
    pieces = Pieces()
    monkeypatch.setattr(sys, "stderr", pieces)

    say("answers at http://127.0.0.1:8000")

    assert pieces.found == ["answers at http://127.0.0.1:8000\n"]


def test_the_titles_of_every_table_are_in_small_letters(capsys) -> None:
    show_table(("ID", "Last Commit"), [(1, "now")])

    assert capsys.readouterr().out.splitlines()[0] == "id  last commit"


def test_tables_and_facts_are_safe(capsys) -> None:
    show_table(("NAME",), [(HOSTILE,), (None,)])
    show_facts({"name": HOSTILE, "headers": {HOSTILE: HOSTILE}, "none": None, "number": 3})

    said = capsys.readouterr().out
    assert not ACTING & set(said)
    assert len(said.splitlines()) == 6
    assert "none" not in said


def test_nothing_is_printed_for_no_rows(capsys) -> None:
    show_table(("NAME",), [])

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-11-24T08:00", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T08:00+02:00", datetime(2026, 11, 24, 6, tzinfo=UTC)),
    ],
)
def test_moments_are_utc_unless_they_say_otherwise(text, found) -> None:
    assert moment(datetime, [Token(value=text)]) == found


def test_a_moment_may_be_ago() -> None:
    assert timedelta(hours=23) < datetime.now(UTC) - moment(datetime, [Token(value="1d")]) < timedelta(hours=25)


@pytest.mark.parametrize("text", ["yesterday", "", "1y", "2026-13-01"])
def test_another_moment_is_refused(text) -> None:
    with pytest.raises(ValueError, match="24h for a day ago"):
        moment(datetime, [Token(value=text)])


def test_whoever_says_a_name_is_still_known_by_the_machine() -> None:
    assert who("ada").startswith("ada (")
    assert f"ada ({who(None)})" == who("ada")
