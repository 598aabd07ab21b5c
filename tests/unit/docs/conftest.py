"""What the tests of the pages share: a page of Markdown, taken apart."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]


class Page(NamedTuple):
    """A page, or a part of one."""

    blocks: list[str]
    prose: str

    @property
    def headings(self) -> list[str]:
        return re.findall(r"^#+ .+$", self.prose, re.MULTILINE)

    @property
    def spans(self) -> list[str]:
        """What stands in backticks within the prose."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    @property
    def code_lines(self) -> list[str]:
        """The lines of the code blocks, and the spans."""
        return [line for block in self.blocks for line in block.splitlines()[1:-1]] + self.spans

    @property
    def rows(self) -> list[list[str]]:
        """The rows of all tables, cell by cell."""
        lines = [line for line in self.prose.splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    @property
    def links(self) -> list[str]:
        return re.findall(r"\]\(([^)\s]+)\)", self.prose)

    def part(self, title: str) -> "Page":
        """What stands under a heading of the second level."""
        found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", self.prose, re.MULTILINE | re.DOTALL)
        assert found, f"there is no heading {title!r}"
        return Page([], found[1])


ReadPage = Callable[[str], Page]


@pytest.fixture(scope="session")
def page() -> ReadPage:
    """Reads a page by its path in the repository."""

    def page(name: str) -> Page:
        text = (ROOT / name).read_text(encoding="utf-8")
        block = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
        return Page(block.findall(text), block.sub("", text))

    return page
