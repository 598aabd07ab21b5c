"""What holds for every command: walked over the whole tree, so that a new one cannot leave it out."""

import ast
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cyclopts
import pytest
from cyclopts import App

import usercenter.cli
from usercenter.cli.commands import COMMANDS, GROUPS, app
from usercenter.cli.tree import Command

WITHOUT_JSON = {
    "run": "prints no data",
    "demo": "a tour for eyes",
    "kafka": "the output is the tool's own",
    "completion": "a script for a shell",
    "db upgrade": "prints no data",
    "groups resume": "prints no data",
    "user export": "has --format",
    "events schema": "prints JSON anyway",
    "events docs": "a page of Markdown",
    "metrics docs": "a page of Markdown",
    "replay pause": "prints no data",
    "replay resume": "prints no data",
    "webhooks delete": "prints no data",
}
DESTRUCTIVE = {
    "topics purge",
    "topics delete",
    "groups reset-offsets",
    "user delete",
    "tasks retry-now",
    "dead-letters retry",
    "dead-letters discard",
    "dead-letters redrive",
    "replay",
    "webhooks delete",
}
SECRETS = ("password", "secret", "token", "credential", "private", "api_key", "apikey")
FOLDER = Path(usercenter.cli.__file__).parent
every = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.path)


def walk(app: App, path: str = "") -> Iterator[str]:
    """The path of every command that does something."""
    for name in app:
        if not name.startswith("-"):
            here = f"{path} {name}".strip()
            if app[name].default_command is not None:
                yield here
            yield from walk(app[name], here)


def parsed(command: Command) -> tuple[App, inspect.BoundArguments]:
    """The example as cyclopts reads it, up to where the shell, or a tool of Kafka's, takes over."""
    words = shlex.split(command.example.partition(" > ")[0])[1 : 3 if command.path == "kafka" else None]
    function, bound, _ = app.parse_args(words, print_error=False, exit_on_error=False)
    return function, bound


def leaf(command: Command) -> App:
    found = app
    for name in command.path.split():
        found = found[name]
    return found


def options(command: Command) -> set[str]:
    return {name for argument in leaf(command).assemble_argument_collection() for name in argument.names}


def usercenter_(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-c", "from usercenter.cli import main; main()", *arguments],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin", "COLUMNS": "80"} | (env or {}),
    )  # fmt: skip


def page(capsys: pytest.CaptureFixture[str], *path: str) -> str:
    app([*path, "--help"], result_action="return_value")
    return " ".join(capsys.readouterr().out.split())


def test_the_table_is_the_tree_and_names_each_command_once():
    assert sorted(walk(app)) == sorted(command.path for command in COMMANDS)
    assert len({command.path for command in COMMANDS}) == len({command.target for command in COMMANDS}) == len(COMMANDS)


@every
def test_the_example_is_understood_and_calls_the_command_itself(command):
    module, _, name = command.target.partition(":")
    function, _ = parsed(command)

    assert (function.__module__, function.__name__) == (f"usercenter.cli.{module}", name)


@every
def test_each_page_shows_the_promise_and_one_example(command, capsys):
    text = page(capsys, *command.path.split())
    function, _ = parsed(command)

    assert text.count("Example: ") == 1
    assert f"Example: {' '.join(command.example.split())}" in text
    assert " ".join((function.__doc__ or "").replace("`", "").split()[:6]) in text


@pytest.mark.parametrize("name", ["", *GROUPS])
def test_each_list_shows_one_example_that_is_understood(name, capsys):
    text = page(capsys, *name.split())

    assert text.count("Example: ") == 1
    assert any(f"Example: {command.example}" in text for command in COMMANDS)


def test_each_line_of_the_table_is_one_sentence():
    assert [command for command in COMMANDS if not command.line.endswith(".") or len(command.line) > 80] == []


@every
def test_what_prints_data_prints_json_too(command):
    assert ("--json" in options(command)) != (command.path in WITHOUT_JSON)


@every
def test_what_cannot_be_undone_asks_for_yes(command):
    assert ("--yes" in options(command)) == (command.path in DESTRUCTIVE)


@every
def test_no_option_says_that_a_list_is_empty(command):
    assert not [name for name in options(command) if name.startswith("--empty-")]


@every
def test_no_option_takes_a_secret(command):
    function, _ = parsed(command)
    names = [*options(command), *inspect.signature(function).parameters]

    assert [name for name in names if any(word in name.lower().replace("-", "_") for word in SECRETS)] == []


@every
def test_every_argument_and_option_is_explained_on_the_page_of_its_command(command):
    arguments = [each for each in leaf(command).assemble_argument_collection() if each.names != ("*",)]

    assert [each.name for each in arguments if not (each.parameter.help or "").endswith((".", "…"))] == []


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_only_the_terminal_prints_and_nothing_asks(file):
    """What is printed goes through `terminal` and `operating.say`, which write out what a terminal obeys."""
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert calls.isdisjoint({"input", "breakpoint", "getpass", "confirm"})
    assert "print" not in calls or file.stem in {"__init__", "terminal", "operating"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("fly",),
        ("user", "fly"),
        ("user", "show"),
        ("verify", "--fly"),
        ("verify", "--stuck-after", "-1"),
        ("tasks", "list", "--limit", "many"),
        ("tasks", "list", "--limit", "0"),
        ("tasks", "show", "99999999999999999999"),
        ("dead-letters", "retry", "99999999999999999999"),
        ("dead-letters", "list", "--since", "999999d"),
        ("topics", "describe", "a b"),
        ("groups", "describe", ""),
    ],
    ids=" ".join,
)
def test_wrong_usage_has_status_2_and_says_so_on_stderr(arguments):
    done = usercenter_(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "meant"), [(["grups"], "groups"), (["groups", "lst"], "list"), (["dead-leters", "list"], "dead-letters")]
)
def test_a_mistyped_command_is_told_which_one_it_is_like(words, meant):
    done = usercenter_(*words)

    assert done.returncode == 2
    assert re.search(f'did you mean "?{meant}"?\\?', " ".join(done.stderr.split()), re.IGNORECASE)


def test_a_hostile_argument_does_not_reach_the_terminal():
    done = usercenter_("config", "check", "--config", "no\x1b[2Jwhere.yaml")

    assert done.returncode == 2
    assert "\x1b" not in done.stderr


def test_no_color_is_honoured_even_where_colour_is_forced():
    coloured = usercenter_("--help", env={"FORCE_COLOR": "1"})
    plain = usercenter_("--help", env={"FORCE_COLOR": "1", "NO_COLOR": "1"})

    assert "\x1b[36m" in coloured.stdout
    assert "\x1b[36m" not in plain.stdout
    assert "\x1b[3" not in plain.stdout.replace("\x1b[3m", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command(shell, capsys):
    app(["completion", shell], result_action="return_value")
    script = capsys.readouterr().out

    assert [command for command in COMMANDS if command.path.split()[-1] not in script] == []


def test_completion_is_a_script_that_bash_accepts(capsys):
    app(["completion", "bash"], result_action="return_value")
    done = subprocess.run(["/bin/bash", "-n"], input=capsys.readouterr().out, text=True, check=False)

    assert done.returncode == 0


def test_a_list_imports_no_module_of_a_command():
    """So that `--help` and a wrong command answer at once."""
    program = (
        "import sys; sys.argv[1:] = ['--help']\nfrom usercenter.cli import main\ntry: main()\nexcept SystemExit: pass\n"
        "print([name for name in sys.modules if name in ('msgspec', 'psycopg', 'confluent_kafka', 'usercenter.config') "
        "or name.startswith('usercenter.cli.')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603

    loaded = ast.literal_eval(done.stderr.splitlines()[-1])
    assert set(loaded) == {"usercenter.cli.failures", "usercenter.cli.commands", "usercenter.cli.tree"}


def test_an_example_that_is_not_understood_is_found():
    """The test of the examples can fail."""
    with pytest.raises(cyclopts.CycloptsError):
        parsed(Command("user show", "user:show", "", "usercenter user show --fly"))
