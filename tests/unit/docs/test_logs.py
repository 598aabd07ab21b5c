"""The list of log events cannot lie: it is compared with every line that the code logs, and with the page."""

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from usercenter.log_events import MEANINGS

ROOT = Path(__file__).parents[3]
LEVELS = ("debug", "info", "warning", "error")


def calls() -> Iterator[tuple[str, ast.expr, str]]:
    """Level, first argument and place of every `log.<level>(…)`."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "log = structlog.get_logger()" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id == "log":
                    yield node.func.attr, node.args[0], f"{path.relative_to(ROOT)}:{node.lineno}"


@functools.cache
def levels_by_name() -> dict[str, list[str]]:
    found = defaultdict(set)
    for level, name, _ in calls():
        if isinstance(name, ast.Constant):
            found[str(name.value)].add(level)
    return {name: [level for level in LEVELS if level in levels] for name, levels in found.items()}


def test_every_line_has_a_constant_name_and_a_level_that_we_use() -> None:
    assert [place for level, _, place in calls() if level not in LEVELS] == []
    assert [place for _, name, place in calls() if not isinstance(name, ast.Constant)] == []


def test_every_name_is_of_the_form_room_what_happened() -> None:
    assert [name for name in MEANINGS if not re.fullmatch(r"[a-z]+\.[a-z]+(_[a-z]+)*", name)] == []


def test_the_list_has_every_name_of_the_code_and_no_other() -> None:
    assert set(levels_by_name()) - set(MEANINGS) == set(), "in the list they are missing"
    assert set(MEANINGS) - set(levels_by_name()) == set(), "in the code they are missing"
    assert list(MEANINGS) == sorted(MEANINGS)


def test_the_page_is_this_list(page) -> None:
    expected = [[f"`{name}`", ", ".join(levels_by_name()[name]), meaning] for name, meaning in MEANINGS.items()]
    assert [row for row in page("docs/logs.md").rows if row[0].startswith("`")] == expected
