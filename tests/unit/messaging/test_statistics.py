"""The client library's reports become figures, each counted once; one that nobody can read breaks nothing."""

import json
from typing import Any

from usercenter.messaging.statistics import Statistics
from usercenter.metrics import Metrics


def report(*, rebalances: int = 0, **broker: Any) -> str:
    idle = {"nodeid": 2, "state": "INIT", "waitresp_cnt": 0, "connects": 0, "rtt": {"avg": 0, "p99": 0}}
    brokers = {"a:1/1": {"nodeid": 1, "state": "UP", "name": "a:1/1", **broker}, "b:1/2": idle}
    return json.dumps({"msg_cnt": 4, "brokers": brokers, "cgrp": {"rebalance_cnt": rebalances}, "type": "consumer"})


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"client": "readers", **labels})


def test_levels_are_those_of_the_last_report() -> None:
    metrics = Metrics()
    statistics = Statistics("readers", metrics)
    statistics.read(report(waitresp_cnt=3, rtt={"avg": 1_500, "p99": 20_000}))
    assert value(metrics, "kafka_client_in_flight_requests") == 3
    assert value(metrics, "kafka_client_queued_messages") == 4
    assert value(metrics, "kafka_client_brokers_up") == 1
    assert value(metrics, "kafka_client_round_trip_seconds", statistic="avg") == 0.0015
    assert value(metrics, "kafka_client_round_trip_seconds", statistic="p99") == 0.02

    statistics.read(report(state="TRY_CONNECT"))
    assert value(metrics, "kafka_client_in_flight_requests") == 0
    assert value(metrics, "kafka_client_brokers_up") == 0


def test_what_a_client_counts_from_its_start_is_counted_once() -> None:
    metrics = Metrics()
    statistics = Statistics("readers", metrics)
    for number in (1, 3, 3):
        statistics.read(report(rebalances=number, txretries=number, txerrs=number, req_timeouts=1, connects=number))
    assert value(metrics, "kafka_client_rebalances_total") == 3
    assert value(metrics, "kafka_client_retries_total") == 3
    assert value(metrics, "kafka_client_request_errors_total") == 4
    assert value(metrics, "kafka_client_reconnects_total") == 2


def test_a_client_that_takes_the_place_of_another_counts_on() -> None:
    metrics = Metrics()
    Statistics("readers", metrics).read(report(rebalances=2))
    Statistics("readers", metrics).read(report(rebalances=1))
    assert value(metrics, "kafka_client_rebalances_total") == 3


def test_what_nobody_can_read_is_passed_over() -> None:
    metrics = Metrics()
    statistics = Statistics("readers", metrics)
    statistics.read("{")
    statistics.read("[]")
    statistics.read("{}")
    assert value(metrics, "kafka_client_rebalances_total") == 0


def test_reports_are_on_unless_the_configuration_switches_them_off() -> None:
    statistics = Statistics("readers", Metrics())
    assert statistics.added_to({})["statistics.interval.ms"] == 5_000
    assert statistics.added_to({"statistics.interval.ms": "0"})["statistics.interval.ms"] == "0"
