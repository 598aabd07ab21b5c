"""Lists as arrays: to the byte what the driver writes."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import AdaptersMap, PyFormat, Transformer

from usercenter.columns import Column, parts

_ADAPTERS = AdaptersMap(psycopg.adapters)
_ADAPTERS.register_dumper(list, Column)
_OURS = Transformer(cast("Any", SimpleNamespace(adapters=_ADAPTERS, connection=None)))
_THEIRS = Transformer()


def written(transformer: Transformer, values: list[Any]) -> tuple[int, bytes]:
    dumper = transformer.get_dumper(values, PyFormat.BINARY)
    return dumper.oid, bytes(dumper.dump(values) or b"")


@given(
    st.one_of(
        st.lists(st.uuids()),
        st.lists(st.text(st.characters(exclude_categories=("Cs",)))),
        st.lists(st.integers(-(2**63), 2**63 - 1)),
        st.lists(st.integers(-(2**15), 2**15 - 1)),
        st.lists(st.one_of(st.none(), st.text(max_size=3, alphabet="ab"))),
        st.lists(st.binary()),
    )
)
def test_an_array_has_the_bytes_that_the_driver_writes(values: list[Any]) -> None:
    assert written(_OURS, values) == written(_THEIRS, values)


@pytest.mark.parametrize(
    "values",
    [[], [None], [["a"], ["b"]], [[1], [2]], [True, False], [1.5], [datetime(2026, 1, 2, tzinfo=UTC)], [2**70],
     [None, UUID(int=5)], [UUID(int=5), None], [[UUID(int=5)], [UUID(int=6)]], [1, None]],
    ids=repr,
)  # fmt: skip
def test_what_it_does_not_know_goes_the_drivers_way(values: list[Any]) -> None:
    assert written(_OURS, values) == written(_THEIRS, values)


@given(st.integers(0, 1_000).map(range))
def test_parts_are_all_rows_in_their_order_and_none_has_more_than_a_statement_is_to_carry(rows: range) -> None:
    found = [list(part) for part in parts(rows)]

    assert [row for part in found for row in part] == list(rows)
    assert all(1 <= len(part) <= 200 for part in found)
