"""`docs/commands.md` is the table of commands."""

from pathlib import Path

from usercenter.cli.handbook import page

PAGE = Path(__file__).parents[3] / "docs/commands.md"


def test_the_page_is_printed_from_the_table():
    """If not: python -m usercenter.cli.handbook > docs/commands.md"""
    assert PAGE.read_text(encoding="utf-8") == page() + "\n"
