"""`usercenter run` without what only a person at a terminal needs."""

import subprocess
import sys

import pytest

from usercenter.cli.commands import app
from usercenter.cli.lean import importing_little, options_of

PLAIN = [
    "",
    "--roles api",
    "--roles=relay,worker",
    "--config other.yaml",
    "--config=other.yaml",
    "-c other.yaml",
    "--roles worker -c other.yaml",
    "--config=other.yaml --roles=api,relay",
]
LEFT_TO_THE_COMMAND_LINE = [
    "--help",
    "-h",
    "--roles",
    "--roles=",
    "--roles --config",
    "--roles api --roles relay",
    "-c=other.yaml",
    "--config a.yaml -c b.yaml",
    "--role api",
    "api",
    "-- --roles api",
]


@pytest.mark.parametrize("line", PLAIN)
def test_plain_options_are_those_that_the_command_line_finds(line: str) -> None:
    _, bound, _ = app.parse_args(["run", *line.split()])

    assert options_of(line.split()) == bound.arguments


@pytest.mark.parametrize("line", LEFT_TO_THE_COMMAND_LINE)
def test_whatever_is_not_plain_is_left_to_the_command_line(line: str) -> None:
    assert options_of(line.split()) is None


def test_a_service_has_imported_nothing_that_only_a_terminal_needs_and_no_tracing() -> None:
    program = """
import sys
from usercenter.cli.lean import importing_little
with importing_little():
    import usercenter.cli.serving
sys.exit(" ".join({"cyclopts", "rich", "pygments", "opentelemetry"} & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603

    assert (done.returncode, done.stderr) == (0, "")


def test_what_was_kept_out_can_be_imported_afterwards() -> None:
    program = """
from usercenter.cli.lean import importing_little
with importing_little():
    import structlog, httpx, usercenter.cli.serving
import rich.console
from usercenter import otel
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0  # noqa: S603


def test_what_is_imported_already_stays() -> None:
    import rich

    with importing_little():
        import rich as again

    assert again is rich
