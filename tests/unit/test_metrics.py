"""The list of metrics: names by Prometheus's conventions, a meaning for each, and a page that is printed from it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from usercenter.measures import ALL, OURS, Measure
from usercenter.metrics import Metrics

ROOT = Path(__file__).parents[2]
UNITS = {"seconds": "_seconds", "bytes": "_bytes"}


def test_no_name_is_listed_twice() -> None:
    assert len({each.name for each in ALL}) == len(ALL) >= 40


@pytest.mark.parametrize("measure", ALL, ids=lambda each: each.name)
def test_a_name_says_the_kind_and_the_unit(measure: Measure) -> None:
    assert re.fullmatch(r"(kafka|usercenter|process|python)(_[a-z0-9]+)+", measure.name)
    assert measure.name.endswith("_total") == (measure.kind == "counter")
    assert measure.name.removesuffix("_total").endswith(UNITS.get(measure.unit, ""))
    assert bool(measure.buckets) == (measure.kind == "histogram")


@pytest.mark.parametrize("measure", ALL, ids=lambda each: each.name)
def test_a_meaning_is_a_sentence_and_every_measure_has_a_unit(measure: Measure) -> None:
    assert measure.meaning.endswith(".")
    assert measure.unit


def test_a_process_has_exactly_the_metrics_of_the_list() -> None:
    families = {family.name: family for family in text_string_to_metric_families(Metrics().text().decode())}
    listed = {each.name.removesuffix("_total"): each for each in ALL}
    assert families.keys() == listed.keys()
    assert {name: family.type for name, family in families.items()} == {name: m.kind for name, m in listed.items()}
    assert all(families[each.name.removesuffix("_total")].documentation == each.meaning for each in OURS)


def test_the_page_in_docs_is_what_the_command_prints() -> None:
    printed = subprocess.run(
        [sys.executable, "-P", "-m", "usercenter", "metrics", "docs"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert printed.stdout == (ROOT / "docs" / "metrics.md").read_text(), (
        "run `usercenter metrics docs > docs/metrics.md`"
    )


def test_many_observations_at_once_are_the_same_as_one_by_one() -> None:
    amounts = [0.0, 0.001, 0.005, 0.3, 7.0, 1e9]
    together, alone = Metrics(), Metrics()

    together.effect_delay.labels("send").observe_all(amounts)
    for amount in amounts:
        alone.effect_delay.labels("send").observe(amount)

    assert _of(together, "usercenter_effect_delay_seconds") == _of(alone, "usercenter_effect_delay_seconds")


def _of(metrics: Metrics, name: str) -> list[str]:
    return [line for line in metrics.text().decode().splitlines() if line.startswith(name)]
