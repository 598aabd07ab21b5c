"""`/api/v1/admin/statistics`: how often something happened, step by step."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from litestar import get
from litestar.params import FromQuery

from usercenter.api.access import require_role
from usercenter.api.admin_views import Series
from usercenter.api.injection import ApiRequest, OurServices
from usercenter.api.moments import moment_of, moment_parameter
from usercenter.api.problems import errors
from usercenter.users import statistics
from usercenter.users.errors import InvalidFields, Problem
from usercenter.users.statistics import MOST_POINTS, Step

MetricName = Literal[
    "registrations",
    "logins",
    "login_failures",
    "password_changes",
    "status_changes",
    "updates",
    "deletions",
    "active_users",
]
"""`statistics.READABLE`, for the description; a test compares them."""
_ZONE: Final = "without a zone it is of `analytics.time_zone`"
_LONGEST: Final[dict[Step, timedelta]] = {
    "minute": timedelta(minutes=MOST_POINTS),
    "hour": timedelta(hours=MOST_POINTS),
    "day": timedelta(days=MOST_POINTS),
}


@get(
    "/api/v1/admin/statistics",
    operation_id="statistics",
    tags=["admin"],
    security=[{"bearer": []}],
    responses=errors(400, 401, 403, 503),
)
async def statistics_of(  # noqa: PLR0917  # the framework passes them by name
    request: ApiRequest,
    services: OurServices,
    metric: FromQuery[MetricName],
    start: Annotated[str, moment_parameter(f"Inclusive; {_ZONE}", name="from", required=True)],
    end: Annotated[str, moment_parameter(f"Exclusive; {_ZONE}", name="to", required=True)],
    step: FromQuery[Step] = "day",
) -> Series:
    """A number for each step, zeros included; days begin at midnight in `analytics.time_zone`.

    Active users are counted by hour and day, each person once in each. At most 10 000 points.
    """
    await require_role(request, services, "auditor")
    zone = services.config.analytics.time_zone
    begin, until = moment_of("from", start, zone), moment_of("to", end, zone)
    if problems := _problems(metric, begin, until, step):
        raise InvalidFields(problems)
    async with services.database.transaction() as tx:
        points = await statistics.series(tx, metric, start=begin, end=until, step=step, time_zone=zone)
    return Series(metric=metric, step=step, time_zone=zone, points=points)


def _problems(metric: str, start: datetime, end: datetime, step: Step) -> list[Problem]:
    found = []
    if end <= start:
        found.append(Problem("to", "order", "must be later than from"))
    if end - start > _LONGEST[step]:
        found.append(Problem("to", "length", f"at most {MOST_POINTS} points: choose a larger step or a shorter time"))
    if metric == "active_users" and step == "minute":
        found.append(Problem("step", "choice", "active users are counted by hour and day"))
    return found
