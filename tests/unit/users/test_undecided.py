"""Guesses of which nobody knows yet whether they are right: who waits for whom, and what comes of it."""

import asyncio
from contextlib import ExitStack

import pytest

from usercenter.users.undecided import Guess, Undecided

NAME, NETWORK = b"name", b"network"


class Line:
    """Guesses that come one after the other, and end when told to."""

    def __init__(self) -> None:
        self.undecided = Undecided()
        self._ends: dict[int, ExitStack] = {}

    def come(self, *keys: bytes) -> Guess:
        stack = ExitStack()
        guess = stack.enter_context(self.undecided.guess(*(keys or (NAME,))))
        self._ends[id(guess)] = stack
        return guess

    def end(self, guess: Guess, *, is_wrong: bool) -> None:
        guess.is_wrong = is_wrong
        self._ends.pop(id(guess)).close()


@pytest.fixture
def line() -> Line:
    return Line()


async def begun(guess: Guess, noted: int, most: int) -> asyncio.Task[int]:
    """Its question, as far as it comes by itself."""
    task = asyncio.create_task(guess.places[0].wrong_before(noted, most=most))
    for _ in range(3):
        await asyncio.sleep(0)  # lets the task run; no time passes
    return task


async def test_who_cannot_be_one_too_many_does_not_wait(line: Line) -> None:
    line.come(), line.come()
    third = line.come()

    assert await third.places[0].wrong_before(0, most=3) == 0


async def test_who_is_past_the_limit_already_does_not_wait(line: Line) -> None:
    line.come()
    second = line.come()

    assert await second.places[0].wrong_before(3, most=3) == 3


@pytest.mark.parametrize(("is_wrong", "wrong"), [(True, 3), (False, 2)])
async def test_who_could_be_one_too_many_waits_for_those_before(line: Line, is_wrong: bool, wrong: int) -> None:
    first, second = line.come(), line.come()
    asking = await begun(second, noted=2, most=3)
    assert not asking.done()

    line.end(first, is_wrong=is_wrong)

    assert await asking == wrong


async def test_nobody_waits_for_those_who_came_later(line: Line) -> None:
    first = line.come()
    line.come()

    assert await first.places[0].wrong_before(2, most=3) == 2


async def test_what_was_noted_before_the_look_counts_once(line: Line) -> None:
    first, second = line.come(), line.come()
    line.end(first, is_wrong=True)
    second.places[0].look()

    assert await second.places[0].wrong_before(1, most=3) == 1


async def test_one_that_ends_in_an_error_makes_room_and_counts_for_nothing(line: Line) -> None:
    def fail() -> None:
        with line.undecided.guess(NAME):
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fail()

    assert len(line.undecided) == 0


async def test_one_that_goes_away_while_it_waits_leaves_its_place(line: Line) -> None:
    first, second, third = line.come(), line.come(), line.come()
    waiting = await begun(second, noted=2, most=3)
    asking = await begun(third, noted=2, most=3)
    waiting.cancel()
    line.end(second, is_wrong=False)
    line.end(first, is_wrong=False)

    assert await asking == 2
    line.end(third, is_wrong=False)
    assert len(line.undecided) == 0


async def test_lines_are_apart(line: Line) -> None:
    line.come(NAME, NETWORK)
    other = line.come(b"another name", NETWORK)

    assert await other.places[0].wrong_before(2, most=3) == 2
    asking = await begun(Guess(other.places[1:]), noted=2, most=3)
    assert not asking.done()
    asking.cancel()
