"""The table of commands as cyclopts takes it.

A command's module is imported when the command is called or its own page is asked for, and not before. The page shows
the function's docstring, and the example of the table below it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

from cyclopts import App, Parameter

from usercenter import __version__
from usercenter.cli import WRONG_USAGE
from usercenter.cli.failures import CommandFailed, guess

_ID: Final = "0197c0de-0000-7000-8000-000000000001"
_ENDING: Final = (
    "Data goes to stdout, everything else to stderr. Exit status: 0 fine, 1 check failed, 2 usage, 3 unreachable."
)


class Command(NamedTuple):
    """A row of the table."""

    path: str
    target: str
    line: str
    example: str


class Tool(App):
    """The command line: as cyclopts has it, but a command's page shows its docstring, not its line in the list."""

    def help_print(
        self,
        tokens: Annotated[str | Iterable[str] | None, Parameter(show=False)] = None,
        *,
        console: Annotated[Any, Parameter(parse=False)] = None,
    ) -> None:
        """Print a page."""
        command = self.parse_commands(tokens)[1][-1]
        if command.default_command is not None:
            command.help = None  # makes cyclopts take the docstring
        super().help_print(tokens, console=console)


def rows(text: str) -> tuple[Command, ...]:
    """The rows of a table of two lines each, whose columns are two spaces or more apart."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return tuple(
        Command._make([*re.split(r" {2,}", first, maxsplit=2), re.sub(r"\bID\b", _ID, second)])
        for first, second in zip(lines[::2], lines[1::2], strict=True)
    )


def tree(commands: Sequence[Command], groups: Mapping[str, str]) -> Tool:
    """All of them below `usercenter`."""
    root = Tool(
        name="usercenter",
        help="Owns a company's accounts and tells the rest, through Apache Kafka, what happened to them.",
        help_epilogue=_below("usercenter demo"),
        version=__version__,
    )
    commands_too = {each.path for each in commands}
    for name, line in groups.items():
        if name in commands_too:
            root.command(f"usercenter.cli.commands:{name}", name=name, help=line)
        else:
            root.command(_filled(App(name=name, help=line, help_epilogue=_example_of(name, commands)), name, commands))
    for row in commands:
        if " " not in row.path and row.path not in groups:
            _add(root, row)
    return root


def expect_command(app: App, words: Sequence[str]) -> None:
    """Raises CommandFailed when the first word is no command, with the one that is nearest; cyclopts names none."""
    known = [name for name in app if not name.startswith("-")]
    if words and not words[0].startswith(("-", "_")) and words[0] not in known:
        meant = guess(words[0], known) or ":"
        raise CommandFailed(f"there is no command {words[0]!r}{meant} see `usercenter --help`", status=WRONG_USAGE)


def group(name: str, commands: Sequence[Command]) -> App:
    """A command that has commands of its own. Imports its module."""
    row = next(each for each in commands if each.path == name)
    app = App(name=name, help_epilogue=_below(row.example))
    app.default(_imported(row.target))
    return _filled(app, name, commands)


def _filled(app: App, name: str, commands: Iterable[Command]) -> App:
    for row in commands:
        if row.path.startswith(f"{name} "):
            _add(app, row)
    return app


def _add(app: App, row: Command) -> None:
    name = row.path.rpartition(" ")[2]
    app.command(f"usercenter.cli.{row.target}", name=name, help=row.line, help_epilogue=_below(row.example))


def _imported(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(":")
    found: Callable[..., Any] = getattr(import_module(f"usercenter.cli.{module}"), function)
    return found


def _example_of(name: str, commands: Iterable[Command]) -> str:
    return _below(next(each.example for each in commands if each.path.startswith(f"{name} ")))


def _below(example: str) -> str:
    return f"Example: `{example}`\n\n{_ENDING}"
