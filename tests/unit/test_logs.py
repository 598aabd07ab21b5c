import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog

from usercenter import logs
from usercenter.config.model import Logging

Lines = Callable[[], list[dict[str, Any]]]
log = structlog.get_logger()


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    """The lines of a log file that is this test's own."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    file = tmp_path / "deep" / "usercenter.log"
    logs.configure(Logging(file=str(file)), to_stderr=False)
    yield lambda: [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.handlers.extend(before)
    root.setLevel(level)


class ServerComplaint(psycopg.Error):
    """A database error as a server sends it, with the row in its DETAIL."""

    def __init__(self, sqlstate: str, sentence: str, detail: str) -> None:
        super().__init__(f"{sentence}\nDETAIL:  {detail}")
        self._facts = (sqlstate, sentence)

    @property
    def diag(self) -> Any:
        sqlstate, sentence = self._facts
        return type("Diagnosis", (), {"sqlstate": sqlstate, "message_primary": sentence})


def test_a_line_begins_with_time_level_and_event(lines):
    log.info("room.thing_happened", user_id="17")

    (line,) = lines()
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert (line["level"], line["event"], line["user_id"]) == ("info", "room.thing_happened", "17")


class Counting:
    """A fact that counts how often it is written out."""

    def __init__(self) -> None:
        self.times = 0

    def __str__(self) -> str:
        self.times += 1
        return "a fact"


def test_a_line_is_written_out_once_for_the_file_the_terminal_and_the_look_at_its_length(tmp_path, lines):
    file = tmp_path / "both.log"
    logs.configure(Logging(file=str(file)))
    fact = Counting()

    log.info("room.thing_happened", fact=fact)

    assert json.loads(file.read_text(encoding="utf-8"))["fact"] == "a fact"
    assert fact.times == 1


def test_lines_of_libraries_look_like_ours(lines):
    logging.getLogger("library").warning("%s is %s", "this", "odd")

    (line,) = lines()
    assert (line["level"], line["event"], line["logger"]) == ("warning", "this is odd", "library")


def test_what_is_bound_to_the_context_is_in_every_line(lines):
    with structlog.contextvars.bound_contextvars(request_id="req-1"):
        log.info("room.thing_happened")
        logging.getLogger("library").warning("odd")

    assert [line["request_id"] for line in lines()] == ["req-1", "req-1"]


def test_a_value_with_line_breaks_stays_on_its_line(lines):
    log.info("room.thing_happened", text='a\n{"event":"forged"}\r\u2028')

    assert len(lines()) == 1


@pytest.mark.parametrize(
    "value",
    ["\ud800", "\udfff and more", 2**80, {1: 2}, {"a", "b"}, b"\xff", float("nan"), object()],
    ids=[
        "half a letter",
        "half of one and more",
        "a huge number",
        "a dict",
        "a set",
        "bytes",
        "no number",
        "an object",
    ],
)
def test_no_value_is_so_strange_that_its_line_is_lost(lines, value):
    log.info("room.thing_happened", value=value)

    (line,) = lines()
    assert line["event"] == "room.thing_happened"
    assert "value" in line


def test_an_error_is_logged_with_the_stacks_of_its_causes(lines):
    log.error("room.thing_failed", exc_info=caught(LookupError("the cause"), is_cause=True))

    (line,) = lines()
    assert "LookupError: the cause" in line["exception"]
    assert "RuntimeError: something" in line["exception"]
    assert "test_logs.py" in line["exception"]


@pytest.mark.parametrize("is_cause", [False, True])
def test_a_row_that_a_database_error_quotes_does_not_get_into_the_log(lines, is_cause):
    complaint = ServerComplaint(
        "23502", 'null value in column "id"', "Failing row contains (ada@example.com,\nsecret)."
    )
    log.error("room.thing_failed", exc_info=caught(complaint, is_cause=is_cause))

    (line,) = lines()
    assert 'null value in column "id" (SQLSTATE 23502)' in line["exception"]
    assert "ada@example.com" not in line["exception"]
    assert "secret" not in line["exception"]


def test_a_value_that_a_database_error_quotes_does_not_get_into_the_log(lines):
    complaint = ServerComplaint("22P02", 'invalid input syntax for type uuid: "ada@example.com"', "")
    log.error("room.thing_failed", exc_info=caught(complaint))

    (line,) = lines()
    assert "SQLSTATE 22P02" in line["exception"]
    assert "ada@example.com" not in line["exception"]


def test_a_database_error_of_the_client_is_told_as_it_is(lines):
    log.error("room.thing_failed", exc_info=caught(psycopg.OperationalError("connection refused")))

    assert "connection refused" in lines()[0]["exception"]


def test_errors_that_caused_each_other_end_somewhere(lines):
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__context__, second.__context__ = second, first
    log.error("room.thing_failed", exc_info=first)

    assert "first" in lines()[0]["exception"]


def caught(error: Exception, *, is_cause: bool = False) -> Exception:
    """The error with a stack, or another one that it caused."""
    try:
        try:
            raise error
        except type(error) as cause:
            if not is_cause:
                raise
            raise RuntimeError("something") from cause
    except (type(error), RuntimeError) as raised:
        return raised
