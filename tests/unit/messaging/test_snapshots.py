"""How long until a lag is gone, and what the gauges say of a row of snapshots."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from usercenter.messaging.consumer_groups import Place
from usercenter.messaging.lags import GroupLag
from usercenter.messaging.snapshots import Snapshot, drain_seconds, show
from usercenter.metrics import Metrics

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def snapshot(seconds_ago: float, lag: int | None, *, oldest: datetime | None = None) -> Snapshot:
    place = Place(topic="t", partition=0, committed=0, earliest=0, next=lag or 0, lag=lag or 0, oldest_unread_at=oldest)
    return Snapshot(
        taken_at=NOW - timedelta(seconds=seconds_ago),
        groups=None if lag is None else [GroupLag(name="g", topic="t", places=[place])],
        handlers={"send": NOW - timedelta(seconds=30)},
        outbox_depth=0,
        outbox_oldest_at=None,
    )


@pytest.mark.parametrize(
    ("lags", "seconds"),
    [
        ([100, 50], 10),  # fifty in ten seconds, fifty left
        ([100, 300, 90], 180),
        ([50, 100], math.inf),
        ([50, 50], math.inf),
        ([50], math.inf),
        ([50, 0], 0),
        ([], 0),
    ],
)
def test_a_lag_is_gone_when_it_goes_on_as_it_did(lags: list[int], seconds: float) -> None:
    row = [snapshot(10 * (len(lags) - number), lag) for number, lag in enumerate(lags)]
    assert drain_seconds(row, "g") == seconds


def shown(*row: Snapshot) -> Metrics:
    metrics = Metrics()
    show(metrics, row, ["send", "store"], NOW)
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"usercenter_{name}", labels)


def test_an_event_that_was_unhandled_grows_older_although_nobody_looked_again() -> None:
    metrics = shown(snapshot(20, 5, oldest=NOW - timedelta(seconds=60)), snapshot(0, None))
    assert value(metrics, "group_behind_seconds", group="g") == 60
    assert value(metrics, "snapshot_timestamp_seconds") == (NOW - timedelta(seconds=20)).timestamp()


def test_what_could_not_be_read_in_time_leaves_the_gauge_as_it_was() -> None:
    metrics = shown(snapshot(10, 5, oldest=NOW - timedelta(seconds=60)))
    show(metrics, [snapshot(0, 5)], [], NOW)
    assert value(metrics, "group_behind_seconds", group="g") == 60


def test_a_handler_without_tasks_is_behind_by_nothing() -> None:
    metrics = shown(snapshot(0, 0))
    assert value(metrics, "handler_behind_seconds", handler="send") == 30
    assert value(metrics, "handler_behind_seconds", handler="store") == 0
