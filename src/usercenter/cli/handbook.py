"""All commands as one Markdown page: `python -m usercenter.cli.handbook > docs/commands.md`."""

from typing import Final

from usercenter.cli.commands import COMMANDS, GROUPS
from usercenter.cli.terminal import show
from usercenter.cli.tree import Command

_HEAD: Final = """# The commands

Printed by `python -m usercenter.cli.handbook` from the table in `src/usercenter/cli/commands.py`.

- Data goes to stdout, everything else to stderr. `--json` prints the data for programs.
- Exit status: 0 fine, 1 a check failed, 2 wrong usage (also a handler, webhook or tool that is not there), 3 something
  cannot be reached.
- Nothing asks back. What cannot be undone, or is about many at once, is a dry run until it has `--yes`: it says what it
  would do, changes nothing, and ends with 0. All else is done at once, also `dead-letters retry 42` and
  `tasks retry-now 14`: one piece of work, named by its number, that may be done again without harm.
- Secrets are never options: they are in the configuration, or in files that `USERCENTER_…_FILE` names.
- What a terminal would obey in data (escapes, line ends, turned writing) is written out. `NO_COLOR` is honoured.
- `usercenter COMMAND --help` says more; `usercenter completion bash` makes the shell complete all this."""


def page() -> str:
    """The page."""
    alone = [command for command in COMMANDS if command.path.split()[0] not in GROUPS]
    parts = [_HEAD, *map(_entry, alone)]
    for name, line in GROUPS.items():
        inside = [command for command in COMMANDS if command.path.split()[0] == name]
        parts += [f"## {name}\n\n{line}", *map(_entry, inside)]
    return "\n\n".join(parts)


def _entry(command: Command) -> str:
    return f"`usercenter {command.path}`: {command.line}\n\n    {command.example}"


if __name__ == "__main__":
    show(page())
