"""All pages: their links lead somewhere, and the list of decisions is complete."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MADE = {"node_modules", "build", "dist", "logs"}


def pages() -> list[str]:
    found = [path.relative_to(ROOT) for path in ROOT.rglob("*.md")]
    ours = [path for path in found if not any(part in MADE or part.startswith(".") for part in path.parts)]
    return sorted(map(str, ours))


def test_the_pages_are_found():
    assert {"README.md", "README.zh-CN.md", "docs/map.md", "docs/decisions/README.md"} <= set(pages())


@pytest.mark.parametrize("name", pages())
def test_every_relative_link_leads_to_a_file(page, name):
    local = [link for link in page(name).links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not ((ROOT / name).parent / link.partition("#")[0]).exists()] == []


def test_the_list_of_decisions_has_every_page_under_its_own_title(page):
    folder = ROOT / "docs" / "decisions"
    titles = {path.name: page(f"docs/decisions/{path.name}").headings[0] for path in folder.glob("[0-9]*.md")}
    rows = page("docs/decisions/README.md").rows
    links = [(re.match(r"\[(\d+)\]\((.+)\)$", row[0]), row[1]) for row in rows]
    listed = {link[2]: f"# {link[1]} {title}" for link, title in links if link}
    assert listed == titles
    assert list(listed) == sorted(titles)
