"""docs/failures.md says what the code does: the times of retries, the limits, the breaker."""

from datetime import timedelta

import pytest

from usercenter.config.model import Config, Limits, Tasks
from usercenter.messaging.groups import Record, Schedule, record
from usercenter.webhooks.schedule import STANDARD


def default() -> Schedule:
    """The schedule of the shipped settings."""
    tasks = Tasks()
    return Schedule(
        attempts=tasks.attempts,
        first_seconds=tasks.first_retry_ms / 1000,
        longest_seconds=tasks.longest_retry_seconds,
    )


def words(seconds: float) -> str:
    """17 min 4 s."""
    whole = timedelta(seconds=seconds)
    hours, rest = divmod(whole.seconds, 3600)
    parts = {"d": whole.days, "h": hours, "min": rest // 60, "s": rest % 60}
    return " ".join(f"{number} {unit}" for unit, number in parts.items() if number) or "at once"


def table_of(schedule: Schedule) -> list[list[str]]:
    """Attempt, the wait before it, and how long after the first one it is; last of all the dead letter."""
    rows, passed = [["1", "at once", "at once"]], 0.0
    for attempt in range(1, schedule.attempts):
        wait = schedule.plain_seconds(attempt)
        assert wait is not None
        passed += wait
        rows.append([str(attempt + 1), words(wait), words(passed)])
    assert schedule.plain_seconds(schedule.attempts) is None
    return rows


@pytest.mark.parametrize(("title", "schedule"), [("Every handler but the webhooks", default()), ("Webhooks", STANDARD)])
def test_the_tables_of_times_are_those_of_the_code(page, title, schedule):
    rows = [row for row in page("docs/failures.md").part(title).rows if row[0].isdigit()]
    assert rows == table_of(schedule)


def test_the_settings_are_named_with_their_defaults(page):
    named = {row[0].strip("`"): row[1] for row in page("docs/failures.md").rows if row[0].startswith("`")}
    config = Config()
    expected = {f"limits.{name}": getattr(config.limits, name) for name in Limits.__struct_fields__}
    expected |= {
        f"tasks.{name}": getattr(config.tasks, name) for name in Tasks.__struct_fields__ if name.startswith("breaker")
    }
    expected["kafka.consumer.crashes"] = config.kafka.consumer.crashes
    assert named == {name: str(value) for name, value in expected.items()}


def test_the_time_limits_of_handlers_are_named(page):
    async def handle(events, tx, context):
        pass

    prose = page("docs/failures.md").prose
    declared: Record = record(handle)
    assert f"record handler is cancelled after {declared.timeout_seconds:g} s" in prose
    assert "an outside handler after 300 s" in prose
