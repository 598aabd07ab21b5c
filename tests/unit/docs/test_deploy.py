"""What is in deploy/ speaks of metrics, labels, alerts and commands that exist.

The expressions are parsed by a port of Prometheus's own parser. That each alert fires when it should is tried by
promtool, which no Python package brings: where it is installed it is run, elsewhere that test is skipped.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cyclopts
import promql_parser
import pytest
import yaml

from usercenter.cli.commands import app
from usercenter.measures import ALL, Measure

DEPLOY = Path(__file__).parents[3] / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
TESTS: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus" / "rules_test.yml").read_text())["tests"]
OF_PROMETHEUS = {"up"}
ITS_LABELS = {"job", "instance", "le", "__name__"}


def listed() -> dict[str, Measure]:
    """By every name under which a sample can be asked for."""
    found = {each.name: each for each in ALL if each.kind != "histogram"}
    for each in ALL:
        if each.kind == "histogram":
            found |= {f"{each.name}_{suffix}": each for suffix in ("bucket", "count", "sum")}
    return found


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            yield f"{path.stem}: {panel['title']}", panel


def expressions() -> list[Any]:
    found = [pytest.param(rule["expr"], id=rule["alert"]) for rule in RULES]
    return found + [
        pytest.param(target["expr"], id=f"{name} {target['refId']}")
        for name, panel in panels()
        for target in panel["targets"]
    ]


def selectors(expression: str) -> list[Any]:
    """The selectors in an expression. Raises ValueError when it is no PromQL."""
    found: list[Any] = []

    def note(part: Any) -> None:
        if isinstance(part, promql_parser.VectorSelector):
            found.append(part)

    promql_parser.walk(promql_parser.parse(expression), note)
    return found


def test_what_is_no_promql_would_be_noticed() -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        selectors("sum by (group (usercenter_tasks)")
    assert [each.name for each in selectors("sum(rate(a{b='c'}[5m])) / d")] == ["a", "d"]


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_asks_for_metrics_and_labels_of_the_list(expression: str) -> None:
    metrics, found = listed(), selectors(expression)
    assert found
    for selector in found:
        if selector.name not in OF_PROMETHEUS:
            assert selector.name in metrics
            allowed = ITS_LABELS | set(metrics[selector.name].labels)
            assert {matcher.name for matcher in selector.matchers.matchers} <= allowed


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_how_bad_it_is_and_what_to_do_next(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "next"}
    for command in re.findall(r"usercenter [a-z][^;,?]*", rule["annotations"]["next"]):
        words = shlex.split(re.sub(r"\{\{.*?\}\}", "x", command))[1:]
        parsed, _, _ = app.parse_args(words, print_error=False, exit_on_error=False)
        assert parsed.__module__.startswith("usercenter.")


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(cyclopts.CycloptsError):
        app.parse_args(["groups", "explain", "x"], print_error=False, exit_on_error=False)


def test_the_alerts_of_the_list_are_those_of_the_rules() -> None:
    assert {each.alert for each in ALL if each.alert} == {rule["alert"] for rule in RULES} - {"UsercenterDown"}


@pytest.mark.parametrize("measure", [each for each in ALL if each.alert], ids=lambda each: each.name)
def test_the_alert_of_a_metric_asks_for_that_metric(measure: Measure) -> None:
    (rule,) = [rule for rule in RULES if rule["alert"] == measure.alert]
    assert measure in [listed().get(selector.name) for selector in selectors(rule["expr"])]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_is_silent(rule: dict[str, Any]) -> None:
    cases = [case for test in TESTS for case in test["alert_rule_test"] if case["alertname"] == rule["alert"]]
    assert [bool(case["exp_alerts"]) for case in cases] == [True, False]


def test_the_dashboards_have_names_of_their_own_and_no_panel_lies_on_another() -> None:
    pages = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert len({page["uid"] for page in pages}) == len(pages) == 4
    for page in pages:
        taken = [
            (x, y)
            for panel in page["panels"]
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(taken) == len(set(taken))
        assert all(0 <= x < 24 for x, _ in taken)


def test_every_metric_of_ours_is_on_a_dashboard_or_watched() -> None:
    asked = {selector.name for each in expressions() for selector in selectors(each.values[0])}
    seen = {listed()[name].name for name in asked - OF_PROMETHEUS}
    assert {each.name for each in ALL if each.name.startswith(("kafka_", "usercenter_"))} == {
        name for name in seen if name.startswith(("kafka_", "usercenter_"))
    }
