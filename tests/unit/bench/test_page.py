"""The page of the measurements: what it says of a stored result, and of a goal that is not reached."""

import json
from pathlib import Path

from bench import crews, page, report
from bench.measure import Figure, Goal, Measure
from bench.result import Result

FACTS = {
    "machine": {
        "system": "Linux", "processor": "a processor", "cores": 2, "memory_gb": 8.0, "filesystem": "ext4",
        "load_before": [0.1, 0.2, 0.3],
    },
    "python": "3.11", "packages": {"usercenter": "1.0"}, "librdkafka": "2.0", "kafka": "4.0", "acks": "all",
    "postgresql": {"server_version": "18", "fsync": "on"},
}  # fmt: skip


async def nothing(ground: object, number: int) -> dict[str, float]:
    return {}


def kept(folder: Path, *goals: Goal, name: str = "race") -> None:
    """A result, written as the program writes it."""
    measure = Measure(
        name=name, work="running", events=1_000, contenders={"ours": nothing, "theirs": nothing},
        figures=[Figure(name="speed", unit="m/s")], goals=goals,
    )  # fmt: skip
    rounds = {
        "ours": [{"speed": 10.0}, {"speed": 1_234.0}, {"speed": 20.0}],
        "theirs": [{"speed": 20.0}, {"speed": 617.0}, {"speed": 40.0}],
    }
    report.write(Result(measure=measure, rounds=rounds, seconds=1.0), FACTS, folder=folder)


def written(folder: Path, *order: str) -> str:
    path = page.write(order=order, results=folder, page=folder / "page.md", pictures=None)
    return path.read_text(encoding="utf-8")


def test_each_contender_has_its_spread_and_the_ratio(tmp_path: Path) -> None:
    kept(tmp_path)
    text = written(tmp_path)
    assert "| speed, m/s | ours | 10 | 20 | 1,234 |  |" in text
    assert "| speed, m/s | theirs | 20 | 40 | 617 | 0.50 |" in text
    assert "3 rounds of 1,000" in text


def test_how_fast_the_machine_was_is_said_where_it_is_known(tmp_path: Path) -> None:
    kept(tmp_path)
    assert ", a hash in" not in written(tmp_path)
    of_today = FACTS | {"machine": {**FACTS["machine"], "hash_ms": 21.3}}  # type: ignore[dict-item]
    measure = Measure(
        name="race",
        work="running",
        events=1_000,
        contenders={"ours": nothing},
        figures=[Figure(name="speed", unit="m/s")],
    )
    result = Result(measure=measure, rounds={"ours": [{"speed": 1.0}]}, seconds=1.0)
    report.write(result, of_today, folder=tmp_path)
    assert "load before 0.1, a hash in 21.3 ms." in written(tmp_path)


def test_goals_that_are_missed_for_one_reason_share_a_line(tmp_path: Path) -> None:
    kept(
        tmp_path,
        Goal(words="faster", figure="speed", at_least=1_000_000),
        Goal(words="faster still", figure="speed", at_least=2_000_000),
    )
    assert "- `race`, faster; faster still: the reason has not been found yet." in written(tmp_path)


def test_who_is_no_rival_has_no_ratio(tmp_path: Path) -> None:
    figure = crews.core_time("event sent")
    rounds = {name: [{figure: 25.0}, {figure: 27.0}] for name in ("1 relay", "2 relays")}
    report.write(Result(measure=crews.MEASURE, rounds=rounds, seconds=1.0), FACTS, folder=tmp_path)
    assert f"| {figure}, µs | 2 relays | 25 | 26 | 27 |  |" in written(tmp_path)


def test_the_machine_and_the_durable_settings_are_named(tmp_path: Path) -> None:
    kept(tmp_path)
    assert "2 cores (a processor), 8 GB, ext4" in written(tmp_path)
    assert "`acks=all`" in written(tmp_path)
    assert "`fsync=on`" in written(tmp_path)


def test_a_goal_is_said_to_be_reached_only_when_it_is(tmp_path: Path) -> None:
    kept(
        tmp_path,
        Goal(words="≥ 15 m/s", figure="speed", at_least=15),
        Goal(words="≥ 1.0 of theirs", figure="speed", against="theirs", at_least=1),
    )
    text = written(tmp_path)
    assert "| [race](#race) | ≥ 15 m/s | 20 | reached |" in text
    assert "| [race](#race) | ≥ 1.0 of theirs | 0.5 | **not reached** |" in text
    assert "1 of 2 are reached" in text


def test_a_goal_that_is_not_reached_has_its_reason(tmp_path: Path) -> None:
    kept(tmp_path, Goal(words="≥ 30 m/s", figure="speed", at_least=30), Goal(words="far", figure="way", at_least=1))
    results = page.stored(tmp_path)
    text = page.text(results, reasons={"race": {"≥ 30 m/s": "it\nrained.", "*": "nobody looked."}}, pictures={})
    assert "- `race`, ≥ 30 m/s: it rained." in text
    assert "- `race`, far: nobody looked." in text
    assert "the reason has not been found" in page.text(results, reasons={}, pictures={})


def test_a_reason_is_not_printed_for_a_goal_that_is_reached(tmp_path: Path) -> None:
    kept(tmp_path, Goal(words="≥ 15 m/s", figure="speed", at_least=15))
    assert "rained" not in page.text(page.stored(tmp_path), reasons={"race": {"≥ 15 m/s": "it rained"}}, pictures={})


def test_the_measures_stand_in_the_order_of_the_program(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        kept(tmp_path, name=name)
    found = [line for line in written(tmp_path, "c", "a").splitlines() if line.startswith("## ")]
    assert found == ["## Goals", "## c", "## a", "## b", "## Machine and versions"]


def test_a_picture_is_shown_where_there_is_one(tmp_path: Path) -> None:
    kept(tmp_path)
    text = page.text(page.stored(tmp_path), reasons={}, pictures={"race": "pictures/race.svg"})
    assert "![race: running](pictures/race.svg)" in text


def test_what_is_kept_can_be_read_by_other_programs(tmp_path: Path) -> None:
    kept(tmp_path)
    assert json.loads((tmp_path / "race.json").read_text(encoding="utf-8"))["measure"] == "race"


def test_without_results_nothing_is_claimed(tmp_path: Path) -> None:
    assert "Nothing has been measured yet." in written(tmp_path)
