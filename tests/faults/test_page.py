"""The page of the figures, made of runs that never were: it says what was run, and what was not."""

from pathlib import Path

from faults.books import Tally
from faults.page import page
from faults.report import PROMISES, Report


def a_run(planned: dict[str, int], *, left_out: int = 0) -> Report:
    """A run that is going to make so many tests of each fault: F1/0, F1/1 …"""
    report = Report()
    tests = [(name, f"{name}/{number}") for name, tests in planned.items() for number in range(tests)]
    report.plan(tests, left_out=left_out, seed=7)
    return report


def row(report: Report, start: str) -> list[str]:
    """The cells of the last line that begins so."""
    line = [line for line in page(report.results).splitlines() if line.startswith(f"| {start} |")][-1]
    return [cell.strip() for cell in line.split("|")[1:-1]]


def outcome(report: Report, name: str) -> str:
    """What the table of the faults says of the last run."""
    lines = page(report.results).partition("## By test")[0].splitlines()
    return next(line for line in lines if line.startswith(f"| {name} |")).split("|")[4].strip()


def test_every_fault_has_a_row_and_what_was_not_run_is_named() -> None:
    report = a_run({"F1": 1})
    report.note_outcome("F1", "F1/0", "passed")

    assert {name: outcome(report, name) for name in PROMISES} == dict.fromkeys(PROMISES, "not in the last run") | {
        "F1": "1 of 1 pass"
    }
    assert "three brokers" in PROMISES


def test_a_run_that_was_cut_says_where() -> None:
    report = a_run({"F1": 10, "F2": 3})
    for number in range(5):
        report.note_outcome("F1", f"F1/{number}", "passed")
        report.figures("F1", "F1/0").note("at random", rounds=10, kills=20)

    assert outcome(report, "F1") == "5 of 10 pass, 5 of 10 made, then stopped"
    assert outcome(report, "F2") == "none of 3 made, the run stopped before"
    assert row(report, "F1 | at random")[2] == "**5 of 10 rounds, then stopped**"
    assert "**5 of 13 tests made, then it stopped**" in page(report.results)


def test_a_run_of_a_part_says_how_much_was_left_out() -> None:
    report = a_run({"F3": 1}, left_out=40)
    report.note_outcome("F3", "F3/0", "passed")

    assert "1 of 1 tests made; **it left out 40 tests of the suite**" in page(report.results)


def test_a_round_that_failed_has_no_figures_and_is_named() -> None:
    report = a_run({"F1": 2})
    report.note_outcome("F1", "F1/0", "passed")
    report.figures("F1", "F1/0").note("at random", rounds=2, kills=20)
    report.note_outcome("F1", "F1/1", "failed")

    assert outcome(report, "F1") == "1 of 2 pass, **1 failed**"
    assert row(report, "F1 | at random")[2] == "**1 of 2 rounds**"
    assert "| F1 | **failed**: `F1/1` |" in page(report.results)


def test_a_test_that_passed_and_could_not_clean_up_has_failed() -> None:
    report = a_run({"F1": 1})
    report.note_outcome("F1", "F1/0", "passed")
    report.note_outcome("F1", "F1/0", "failed")

    assert outcome(report, "F1") == "0 of 1 pass, **1 failed**"


def test_rounds_are_added_up() -> None:
    report = a_run({"F1": 2})
    for number in range(2):
        tally = Tally(ok=50, unknown=1, duplicates=3, mails_twice=1, lost=number)
        report.note_outcome("F1", f"F1/{number}", "passed")
        report.figures("F1", "F1/0").note("at random", rounds=2, kills=20, tally=tally, recoveries=[1.0 + number, 3.0])

    assert row(report, "F1 | at random") == [
        "F1", "at random", "2", "102", "2", "40", "1", "0", "0.15", "0.05", "2.5 / 3.0"
    ]  # fmt: skip


def test_the_page_says_what_was_run_where_and_with_which_seed() -> None:
    report = a_run({"F1": 1})
    (run,) = report.results.runs
    run.version, run.commit, run.began, run.load, run.machine = "1.2.3", "abc", "2026-01-02 03:04 UTC", 7.25, "2 cores"

    assert "| 2026-01-02 03:04 UTC | 1.2.3 | abc | 7 | 2 cores | 7.2 |" in page(report.results)


def test_a_run_that_goes_on_makes_what_has_not_passed_and_keeps_the_figures_of_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "last.json"
    cut = a_run({"F1": 3})
    for number, outcome_ in enumerate(["passed", "failed"]):
        cut.note_outcome("F1", f"F1/{number}", outcome_)
        cut.figures("F1", f"F1/{number}").note("at random", rounds=3, kills=10)
    cut.write("", tmp_path / "page.md", path)

    report = Report()
    assert report.go_on(path) == {"F1/0"}
    report.plan([("F1", "F1/1"), ("F1", "F1/2")], left_out=0, seed=8)
    for number in (1, 2):
        report.note_outcome("F1", f"F1/{number}", "passed")
        report.figures("F1", f"F1/{number}").note("at random", rounds=3, kills=10)

    assert outcome(report, "F1") == "3 of 3 pass"
    assert row(report, "F1 | at random")[2:6] == ["3", "", "", "30"]
    assert [run.seed for run in report.results.runs] == [7, 8]


def test_what_is_written_down_is_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    report = a_run({"F1": 1})
    for text in ("one", "another"):
        report.write(text, tmp_path / "page.md", tmp_path / "results" / "last.json")

    assert (tmp_path / "page.md").read_text() == "another"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["last.json", "page.md", "results"]
