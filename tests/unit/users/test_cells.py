"""Cells that no spreadsheet takes for a formula, and the way back."""

import csv
import io
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usercenter.users.cells import harmless, original
from usercenter.users.import_records import records

LIKE_FORMULAS = st.text(alphabet="=+-@\t\r'a1,\"", max_size=6) | st.text(max_size=20)


@given(LIKE_FORMULAS)
def test_no_cell_begins_a_formula_and_each_says_again_what_it_said(text: str):
    assert harmless(text)[:1] not in set("=+-@\t\r")
    assert original(harmless(text)) == text


@pytest.mark.parametrize("text", ["", "Ada", "O'Neill", "'", "'tis", "a=b"])
def test_ordinary_text_is_left_as_it_is(text: str):
    assert harmless(text) == original(text) == text


@given(
    st.lists(LIKE_FORMULAS.filter(lambda text: "\n" not in text and not text.endswith("\r")), min_size=2, max_size=2)
)
async def test_an_import_reads_the_cells_of_an_export_unchanged(names: list[str]):
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["username", "email", "first_name", "last_name"])
    writer.writerow(["ada", "ada@example.com", *map(harmless, names)])
    [record] = [record async for record in records(_chunk(text.getvalue().encode()), "csv")]

    assert record.problems == []
    assert [record.fields.get("first_name", ""), record.fields.get("last_name", "")] == names


async def test_passwords_are_taken_as_they_stand():
    file = b"username,email,password\r\nada,ada@example.com,'=secret words\r\n"
    [record] = [record async for record in records(_chunk(file), "csv")]

    assert record.fields["password"] == "'=secret words"


async def _chunk(data: bytes) -> AsyncIterator[bytes]:
    yield data
