"""The map cannot lie: it is compared with the tree and with the schema."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "usercenter"


@pytest.fixture(scope="module")
def code_map(page):
    return page("docs/map.md")


def is_only_a_docstring(path: Path) -> bool:
    """Then the file is the room itself, and the room has a heading."""
    return path.name == "__init__.py" and len(ast.parse(path.read_text(encoding="utf-8")).body) <= 1


def modules_under_headings(prose: str) -> list[str]:
    found, room = [], ""
    for line in prose.splitlines():
        if heading := re.match(r"### (.+)", line):
            room = f"{heading[1]}/" if (SOURCE / heading[1]).is_dir() else ""
        elif row := re.match(r"\| `([^`]+)` \|", line):
            found.append(room + row[1])
    return found


def names_after(words: str, text: str) -> set[str]:
    return {name.lower() for name in re.findall(rf"\b(?:{words})\s+([a-z_]+)", text, re.IGNORECASE)}


def tables_of_the_schema() -> set[str]:
    steps = (SOURCE / "migrations" / "versions").glob("*.py")
    text = "\n".join(step.read_text(encoding="utf-8") for step in steps)
    return names_after("create table", text) - names_after("drop table", text)


def modules_that_write() -> dict[str, set[str]]:
    """By table, from the SQL in the code."""
    tables, found = tables_of_the_schema(), defaultdict(set)
    for path in SOURCE.rglob("*.py"):
        if "migrations" not in path.parts:
            for table in names_after("insert into|update|delete from|copy", path.read_text(encoding="utf-8")) & tables:
                found[table].add(str(path.relative_to(SOURCE)))
    return dict(found)


def test_it_names_every_module_once_and_no_other(code_map):
    named = modules_under_headings(code_map.part("The modules of src/usercenter").prose)
    there = [str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if not is_only_a_docstring(path)]
    assert set(there) - set(named) == set(), "on the map they are missing"
    assert set(named) - set(there) == set(), "in the tree they are missing"
    assert len(named) == len(set(named))


def test_it_says_of_every_module_what_it_is(code_map):
    rows = [row for row in code_map.part("The modules of src/usercenter").rows if row[0].startswith("`")]
    assert [row[0] for row in rows if not row[1]] == []


def test_it_has_a_heading_for_every_room_and_links_to_it(code_map):
    rooms = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    headings = {heading.removeprefix("### ") for heading in code_map.headings if heading.startswith("### ")}
    links = {link.removeprefix("#") for link in code_map.links if link.startswith("#")}
    assert headings == rooms | {"beside the rooms"}
    assert links == {heading.replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("title", ["A registration, from the request to the mail", "The tables", "Outside of src"])
def test_every_path_on_it_leads_somewhere(code_map, title):
    paths = [span for span in code_map.part(title).spans if re.fullmatch(r"[\w.-]+/[\w./-]*", span)]
    assert paths
    assert [path for path in paths if not (SOURCE / path).exists() and not (ROOT / path).exists()] == []


def test_it_names_every_table_of_the_schema_and_every_module_that_writes_it(code_map):
    rows = [row for row in code_map.part("The tables").rows if row[0].startswith("`")]
    named = {row[0].strip("`"): set(re.findall(r"`([^`]+)`", row[2])) for row in rows}
    assert set(named) == tables_of_the_schema()
    assert named == modules_that_write()


def test_it_names_every_folder_of_tests(code_map):
    folders = {f"tests/{path.name}" for path in (ROOT / "tests").iterdir() if any(path.rglob("test_*.py"))}
    assert folders <= set(code_map.part("Outside of src").spans)
