"""What is told on `user.analytics`: facts without personal data, for any data platform."""

from typing import ClassVar, Final, Literal, get_args

from usercenter.events.envelope import Event

Metric = Literal[
    "registrations", "logins", "login_failures", "password_changes", "status_changes", "updates", "deletions"
]
METRICS: Final[tuple[Metric, ...]] = get_args(Metric)


class AnalyticsFact(Event, type="analytics.fact", frozen=True, kw_only=True):
    """Something happened to somebody. `user_id` is a keyed pseudonym: the same for one user, and nobody's name."""

    stream: ClassVar[str] = "user_analytics"
    outlives_erasure: ClassVar[bool] = True

    metric: Metric
    locale: str | None = None
    status: str | None = None
    """The new status, where it is what changed."""
