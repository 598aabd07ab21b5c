"""The collector of a process that lives long: it looks seldom, and still finds what nobody can reach."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from usercenter import garbage


class Ring:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def looks_at_new_objects(number: int) -> int:
    before = gc.get_stats()[0]["collections"]
    kept = [[] for _ in range(number)]
    return gc.get_stats()[0]["collections"] - before if kept else 0


def test_it_looks_seldom() -> None:
    garbage.look_seldom()

    assert looks_at_new_objects(50_000) <= 5


def test_what_was_there_at_the_start_is_looked_at_no_more() -> None:
    at_start = [Ring()]

    garbage.look_seldom()

    assert gc.get_freeze_count() > 0
    assert not any(each is at_start for each in gc.get_objects())


def test_rings_that_nobody_can_reach_are_still_found() -> None:
    garbage.look_seldom()
    ring = weakref.ref(Ring())

    looks_at_new_objects(20_000)

    assert ring() is None
