"""Reading the statistics: one number for each step of a period, also where nothing happened."""

from datetime import datetime
from typing import Final, Literal, get_args

import msgspec

from usercenter.db import Transaction
from usercenter.events import METRICS

Step = Literal["minute", "hour", "day"]
STEPS: Final[tuple[Step, ...]] = get_args(Step)
READABLE: Final = (*METRICS, "active_users")
MOST_POINTS: Final = 10_000


class Point(msgspec.Struct, frozen=True):
    """How often something happened from `at` on, for one step."""

    at: datetime
    value: int


async def series(
    tx: Transaction, metric: str, *, start: datetime, end: datetime, step: Step, time_zone: str
) -> list[Point]:
    """The numbers of a metric from `start` (inclusive, cut to its step) to `end` (exclusive), zeros included.

    `metric` is one of READABLE; active users are counted by hour and day, each person once in each.
    """
    counted = _ACTIVE if metric == "active_users" else _COUNTED
    rows = await tx.fetch_all(
        counted,
        {"metric": metric, "start": start, "end": end, "step": step, "zone": time_zone, "every": f"1 {step}"},
    )
    return [Point(row[0], int(row[1])) for row in rows]


_COUNTED: Final = """
select buckets.at, coalesce(s.value, 0) from generate_series(
    date_trunc(%(step)s, %(start)s::timestamptz, %(zone)s), %(end)s::timestamptz - interval '1 microsecond',
    %(every)s::interval, %(zone)s
) as buckets (at)
left join statistics s on s.metric = %(metric)s and s.step = %(step)s and s.bucket = buckets.at
order by 1
"""

_ACTIVE: Final = """
select buckets.at, (
    select count(*) from active_users a where a.step = %(step)s and a.bucket = buckets.at
) from generate_series(
    date_trunc(%(step)s, %(start)s::timestamptz, %(zone)s), %(end)s::timestamptz - interval '1 microsecond',
    %(every)s::interval, %(zone)s
) as buckets (at)
order by 1
"""
