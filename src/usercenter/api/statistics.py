"""`/api/v1/admin/statistics`: how often something happened, step by step."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from litestar import get
from litestar.params import FromQuery, QueryParameter

from usercenter.api.access import require_role
from usercenter.api.admin_views import Series
from usercenter.api.problems import errors
from usercenter.api.services import ApiRequest, OurServices
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
_MOMENT: Final = "ISO 8601; without a zone it is of `analytics.time_zone`."
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 9000
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
    start: Annotated[str, QueryParameter(name="from", max_length=40, description=f"Inclusive; {_MOMENT}")],
    end: Annotated[str, QueryParameter(name="to", max_length=40, description=f"Exclusive; {_MOMENT}")],
    step: FromQuery[Step] = "day",
) -> Series:
    """A number for each step, zeros included; days begin at midnight in `analytics.time_zone`.

    Active users are counted by hour and day, each person once in each. At most 10 000 points.
    """
    await require_role(request, services, "auditor")
    zone = services.config.analytics.time_zone
    begin, until = _moment("from", start, zone), _moment("to", end, zone)
    if problems := _problems(metric, begin, until, step):
        raise InvalidFields(problems)
    async with services.database.transaction() as tx:
        points = await statistics.series(tx, metric, start=begin, end=until, step=step, time_zone=zone)
    return Series(metric=metric, step=step, time_zone=zone, points=points)


def _moment(field: str, text: str, zone: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise InvalidFields([Problem(field, "moment", "write a day or a moment: 2026-03-01, 2026-03-01T08:00:00Z")])
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))


def _problems(metric: str, start: datetime, end: datetime, step: Step) -> list[Problem]:
    found = []
    if end <= start:
        found.append(Problem("to", "order", "must be later than from"))
    if end - start > _LONGEST[step]:
        found.append(Problem("to", "length", f"at most {MOST_POINTS} points: choose a larger step or a shorter time"))
    if metric == "active_users" and step == "minute":
        found.append(Problem("step", "choice", "active users are counted by hour and day"))
    return found
