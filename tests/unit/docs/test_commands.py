"""The commands of the READMEs are those of the tool."""

import re
import shlex
from collections.abc import Iterator

import cyclopts
import pytest

from usercenter.cli.commands import app
from usercenter.embedded.kafka_tools import MAIN_CLASSES

READMES = ["README.md", "README.zh-CN.md"]
KAFKA = "`usercenter kafka TOOL …`"
PLACEHOLDERS = {"ID": "0197c0de-0000-7000-8000-000000000001", "NUMBER": "1"}


def commands_of(readme) -> Iterator[str]:
    """Every `usercenter …` in code; behind one in a table's cell, `list` and `db current` count as well."""
    for line in readme.code_lines:
        if found := re.match(r"(?:\.venv/bin/)?usercenter (.+)", line):
            yield found[1].partition(" #")[0].strip()
    for row in readme.rows:
        first, *others = re.findall(r"`([^`]+)`", row[0]) or [""]
        if first.startswith("usercenter "):
            group = first.split()[1]
            yield from (other if other.split()[0] in app else f"{group} {other}" for other in others)


def is_understood(text: str) -> bool:
    words = [PLACEHOLDERS.get(word, word.strip("[]")) for word in shlex.split(text)]
    if words[0] == "kafka":  # what follows the tool's name is the tool's own
        return words[1] == "TOOL" or words[1] in MAIN_CLASSES
    try:
        command, _, _ = app.parse_args(words, print_error=False, exit_on_error=False)
    except cyclopts.CycloptsError:
        return False
    return command.__module__.startswith("usercenter.")  # and not the help that a group shows without a command


def commands_of_the_tool() -> Iterator[str]:
    for name in app:
        inside = [] if app[name].default_command else [each for each in app[name] if not each.startswith("-")]
        yield from [f"{name} {each}" for each in inside] or [name]


@pytest.mark.parametrize("name", READMES)
def test_every_command_is_understood_with_its_options(page, name):
    found = list(commands_of(page(name)))
    assert {"demo", "db current", "topics list", "run [--roles api,relay,worker]"} <= set(found)
    assert [command for command in found if not is_understood(command)] == []


@pytest.mark.parametrize("name", READMES)
def test_every_command_of_the_tool_is_named(page, name):
    named = [f"{text} " for text in commands_of(page(name))]
    every = [command for command in commands_of_the_tool() if not command.startswith("-")]
    assert len(every) >= 9
    assert [command for command in every if not any(text.startswith(f"{command} ") for text in named)] == []


@pytest.mark.parametrize("name", READMES)
def test_every_tool_of_kafka_is_named(page, name):
    (row,) = [row for row in page(name).rows if row[0] == KAFKA]
    assert set(re.findall(r"[a-z]+(?:-[a-z]+)*", re.split("[:：]", row[1])[1])) == set(MAIN_CLASSES)
