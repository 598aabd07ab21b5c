"""The command `usercenter` in this process: a process of its own takes seconds to import."""

import asyncio
import io
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import NamedTuple

import msgspec

from usercenter.cli.commands import app
from usercenter.cli.failures import explained
from usercenter.config.model import Config


class Said(NamedTuple):
    """What a command left behind."""

    status: int
    data: str
    """On stdout."""
    rest: str
    """On stderr."""


async def command(config: Config, *arguments: str) -> Said:
    """The command as `main` runs it, with this configuration, in a thread."""
    with tempfile.NamedTemporaryFile("wb", suffix=".yaml") as file:
        file.write(msgspec.yaml.encode(config))
        file.flush()
        with _logs_as_before():
            said = await asyncio.to_thread(_run, [*arguments, "--config", file.name])
    assert "Traceback" not in said.rest, said
    return said


def _run(arguments: list[str]) -> Said:
    data, rest, status = _stream(), _stream(), 0
    with redirect_stdout(data), redirect_stderr(rest):
        try:
            with explained():
                status = app(arguments, exit_on_error=True, result_action="return_value") or 0
        except SystemExit as end:
            status = int(end.code or 0)
    return Said(status, _text(data), _text(rest))


def _stream() -> io.TextIOWrapper:
    """As the real ones: for text, with a buffer for bytes below."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode()  # type: ignore[attr-defined]


@contextmanager
def _logs_as_before() -> Iterator[None]:
    """A command sends the logs of its process to stderr."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
