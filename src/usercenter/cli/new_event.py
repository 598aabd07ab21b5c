"""The first version of somebody's own event: a file that works, and a test that passes."""

import sys
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Final

from usercenter.cli import WRONG_USAGE
from usercenter.cli.failures import CommandFailed
from usercenter.events import EVENTS, is_type, type_of

_MODULE: Final = Template('''"""The event `$type`, and what follows from it."""

from typing import Any

import structlog

from usercenter.extension import Context, Extension, Personal, UserEvent, outside

log = structlog.get_logger()


class $class_name(UserEvent, type="$type"):
    """What happened, in one sentence: it is printed in the catalogue."""

    # Your own fields, instead of these two; one without a default is required.
    username: Personal
    changes: dict[str, Any] = {}


async def $handler(event: $class_name, context: Context) -> None:
    """Write the event to the log; put here what is to follow in the outside world.

    Called at least once per event, in order for each user. An exception means: try again later.
    """
    log.info("$handler.done", event_id=str(event.id), attempt=context.attempt)


extension = Extension(events=[$class_name], handlers={$class_name: [outside($handler)]})
''')

_TEST: Final = Template('''"""$class_name goes over the wire and comes back, and its handler does its work."""

import asyncio
import json
from datetime import UTC, datetime

from structlog.testing import capture_logs

from $module import $class_name, extension, $handler
from usercenter.extension import Context, HeldClock, Registry, encode, new_id

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def an_event() -> $class_name:
    return $class_name(id=new_id(), timestamp=NOW, user_id=new_id(), username="ada", changes={"city": "London"})


def test_the_event_is_flat_json_with_its_type_and_comes_back_equal() -> None:
    event = an_event()

    assert json.loads(encode(event))["type"] == "$type"
    assert Registry(extension.events).decode(encode(event)) == event


def test_the_handler_does_its_work() -> None:
    event = an_event()

    with capture_logs() as lines:
        asyncio.run($handler(event, Context(clock=HeldClock(NOW))))

    assert [line["event_id"] for line in lines] == [str(event.id)]
''')


def write(type: str, folder: Path) -> tuple[str, tuple[Path, Path]]:
    """Write the module and its test; returns the module's name and both files. Raises CommandFailed, leaves no half."""
    _check(type, folder)
    stem = type.replace(".", "_")
    module = ".".join([*(part for part in folder.parts if part != "."), stem])
    words = {
        "type": type,
        "module": module,
        "class_name": "".join(word.capitalize() for word in stem.split("_")),
        "handler": f"note_{stem}",
    }
    files = (folder / f"{stem}.py", folder / f"test_{stem}.py")
    for file in files:
        if file.exists():
            raise CommandFailed(f"{file} is there already; move it, or choose another --folder")
    folder.mkdir(parents=True, exist_ok=True)
    for file, template in zip(files, (_MODULE, _TEST), strict=True):
        file.write_text(template.substitute(words), encoding="utf-8")
    return module, files


def next_steps(type: str, module: str, test: Path) -> str:
    """What to type now: commands that work in this folder as they stand."""
    command = Path(sys.argv[0])
    tool = _as_typed(command) if command.name == "usercenter" else f"{_as_typed(Path(sys.executable))} -m usercenter"
    missing = "" if find_spec("pytest") else "   (pytest is missing: pip install pytest; in a clone: make dev)"
    return (
        f"try it:        {_as_typed(Path(sys.executable))} -m pytest {test}{missing}\n"
        f"look at it:    USERCENTER_EXTENSIONS={module} {tool} events show {type}\n"
        f"switch it on:  extensions: [{module}] in the configuration, or that variable"
    )


def _as_typed(program: Path) -> str:
    """A program by the shortest path from here; the path is not resolved, for a venv's Python is a link."""
    here = Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)


def _check(type: str, folder: Path) -> None:
    if not is_type(type):
        raise CommandFailed(
            f"{type!r} is no event type; write words of small letters, digits and _ joined by dots, in the past tense: "
            "user.profile_updated",
            status=WRONG_USAGE,
        )
    if type in {type_of(event_class) for event_class in EVENTS}:
        raise CommandFailed(f"{type} is an event of usercenter itself; choose another", status=WRONG_USAGE)
    if folder.is_absolute() or not all(part.isidentifier() for part in folder.parts):
        raise CommandFailed(
            f"--folder {folder} must lie below the current folder and be a package's name: acme, or acme/users",
            status=WRONG_USAGE,
        )
