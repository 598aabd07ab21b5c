"""The arithmetic of the measurements: who runs when, what is compared with what, and when a goal is reached."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bench import report
from bench.measure import Figure, Goal, Measure, WorkNotDone, in_turn, rate, take
from bench.result import Result

_SPEED = Figure(name="speed", unit="m/s")
_DELAY = Figure(name="delay", unit="ms", is_more_better=False)


class _Grounds:
    """Gives out ground of which nothing is needed."""

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[str]:
        yield "fresh"

    @asynccontextmanager
    async def again(self, ground: str) -> AsyncIterator[str]:
        yield f"{ground} again"


def _measure(**more: Any) -> Measure:
    async def nothing(ground: object, number: int) -> Mapping[str, float]:
        return {"speed": float(number)}

    facts: dict[str, Any] = {"contenders": {"ours": nothing, "theirs": nothing}, **more}
    return Measure(name="race", work="running", events=100, figures=(_SPEED, _DELAY), **facts)


def _result(*goals: Goal) -> Result:
    rounds = {
        "ours": [{"speed": 10.0, "delay": 3.0}, {"speed": 30.0, "delay": 2.0}, {"speed": 20.0, "delay": 1.0}],
        "theirs": [{"speed": 20.0}, {"speed": 10.0}, {"speed": 10.0}],
    }
    return Result(measure=_measure(goals=goals), rounds=rounds, seconds=1.0)


def test_rounds_alternate_the_order() -> None:
    assert [list(in_turn(["a", "b", "c"], number)) for number in range(3)] == [
        ["a", "b", "c"],
        ["c", "b", "a"],
        ["a", "b", "c"],
    ]


async def test_everybody_warms_up_with_a_part_of_the_work_and_then_runs_in_turn() -> None:
    ran: list[tuple[str, int]] = []

    def contender(name: str) -> Any:
        async def run(ground: object, number: int) -> Mapping[str, float]:
            ran.append((name, number))
            return rate(number, 2.0)

        return run

    measure = _measure(contenders={"ours": contender("ours"), "slow": contender("slow")}, fewer={"slow": 50}, rounds=2)
    found, _ = await take(measure, _Grounds(), tell=lambda _: None)

    assert ran == [("ours", 10), ("slow", 5), ("ours", 100), ("slow", 50), ("slow", 50), ("ours", 100)]
    assert found == {"ours": [{"events/s": 50.0}] * 2, "slow": [{"events/s": 25.0}] * 2}


async def test_who_is_prepared_is_so_once_and_has_the_same_database_in_every_round() -> None:
    ran: list[str] = []

    def contender(name: str) -> Any:
        async def run(ground: str, number: int) -> Mapping[str, float]:
            ran.append(f"{name} on {ground}")
            return rate(number, 1.0)

        return run

    async def prepare(ground: str) -> None:
        ran.append(f"prepared {ground}")

    measure = _measure(
        contenders={"ours": contender("ours"), "old": contender("old")},
        prepared={"old": prepare},
        warm_up_share=0,
        rounds=2,
    )
    await take(measure, _Grounds(), tell=lambda _: None)

    assert ran == ["prepared fresh", "ours on fresh", "old on fresh again", "old on fresh again", "ours on fresh"]


async def test_a_run_without_an_end_is_no_result() -> None:
    async def never(ground: object, number: int) -> Mapping[str, float]:
        raise TimeoutError

    with pytest.raises(WorkNotDone, match="race, ours"):
        await take(_measure(contenders={"ours": never}), _Grounds(), tell=lambda _: None)


def test_the_ratio_is_that_of_each_round_and_not_that_of_the_medians() -> None:
    assert _result().ratios("speed", "theirs") == [0.5, 3.0, 2.0]
    assert _result().ratios("speed", "ours", of="theirs") == pytest.approx([2.0, 1 / 3, 0.5])


def test_who_has_nothing_to_say_of_a_figure_is_left_out_of_it() -> None:
    assert _result().contenders(_SPEED) == ["ours", "theirs"]
    assert _result().contenders(_DELAY) == ["ours"]
    assert _result().ratios("delay", "theirs") == []


@pytest.mark.parametrize(
    ("goal", "found", "is_reached"),
    [
        (Goal(words="", figure="speed", at_least=20), 20.0, True),
        (Goal(words="", figure="speed", at_least=20.1), 20.0, False),
        (Goal(words="", figure="delay", at_most=2), 2.0, True),
        (Goal(words="", figure="delay", at_most=1.9), 2.0, False),
        (Goal(words="", figure="speed", against="theirs", at_least=2), 2.0, True),
        (Goal(words="", figure="speed", against="theirs", at_least=2.1), 2.0, False),
        (Goal(words="", figure="speed", contender="theirs", at_most=10), 10.0, True),
        (Goal(words="", figure="delay", against="theirs", at_most=9), None, False),
    ],
)
def test_a_goal_is_held_against_the_median(goal: Goal, found: float | None, is_reached: bool) -> None:
    (verdict,) = _result(goal).verdicts()

    assert (verdict.found, verdict.is_reached) == (found, is_reached)


def test_the_file_says_what_was_found_and_which_goals_are_reached(tmp_path: Any) -> None:
    goal = Goal(words="twice theirs", figure="speed", against="theirs", at_least=2)

    written = json.loads(report.write(_result(goal), {"python": "3"}, folder=tmp_path).read_bytes())

    speed, delay = written["figures"]
    assert speed["contenders"]["theirs"] == {
        "minimum": 10.0,
        "median": 10.0,
        "maximum": 20.0,
        "rounds": [20.0, 10.0, 10.0],
        "product_over_this": 2.0,
        "product_over_this_by_round": [0.5, 3.0, 2.0],
    }
    assert (delay["better"], list(delay["contenders"])) == ("less", ["ours"])
    (found,) = written["goals"]
    assert (found["words"], found["found"], found["is_reached"]) == ("twice theirs", 2.0, True)
    assert written["python"] == "3"
