"""Statistics: events become facts without personal data, and facts become numbers by minute, hour and day."""

from collections.abc import Sequence
from typing import Final

from usercenter.config.model import Analytics
from usercenter.db import Transaction
from usercenter.events import (
    AnalyticsFact,
    Metric,
    UserDeleted,
    UserEvent,
    UserLoggedIn,
    UserPasswordChanged,
    UserRegistered,
    UserStatusChanged,
    UserUpdated,
    derived_id,
)
from usercenter.messaging import outbox
from usercenter.messaging.groups import Context
from usercenter.users.pseudonyms import Pseudonyms

_METRICS: Final[dict[type[UserEvent], Metric]] = {
    UserRegistered: "registrations",
    UserLoggedIn: "logins",
    UserPasswordChanged: "password_changes",
    UserStatusChanged: "status_changes",
    UserUpdated: "updates",
    UserDeleted: "deletions",
}
_ACTIVE: Final = frozenset({"registrations", "logins"})


async def publish_facts(events: Sequence[UserEvent], tx: Transaction, context: Context) -> None:
    """Tell on `user.analytics` what happened, without saying to whom.

    A fact names neither its event nor its trace: whoever has both could tell who the pseudonym is.
    """
    pseudonyms = context.service(Pseudonyms)
    await outbox.add(tx, *[_fact(event, pseudonyms) for event in events])


async def count_facts(events: Sequence[AnalyticsFact], tx: Transaction, context: Context) -> None:
    """Add facts to the numbers by minute, hour and day; days begin at midnight in `analytics.time_zone`."""
    zone = context.service(Analytics).time_zone
    await tx.send(_COUNT, (zone, [event.metric for event in events], [event.occurred_at for event in events]))
    active = [event for event in events if event.metric in _ACTIVE]
    await tx.send(_NOTE_ACTIVE, (zone, [event.user_id for event in active], [event.occurred_at for event in active]))


def _fact(event: UserEvent, pseudonyms: Pseudonyms) -> AnalyticsFact:
    return AnalyticsFact(
        id=derived_id(event.id, publish_facts.__name__),
        timestamp=event.occurred_at,
        user_id=pseudonyms.of(event.user_id),
        metric=_METRICS[type(event)],
        locale=event.locale if isinstance(event, UserRegistered) else None,
        status=event.new_status if isinstance(event, UserStatusChanged) else None,
    )


_COUNT: Final = """
insert into statistics (metric, step, bucket, value)
select metric, step, date_trunc(step, at, %s), count(*)
from unnest(%b::text[], %b::timestamptz[]) as e (metric, at), unnest(array['minute', 'hour', 'day']) as s (step)
group by 1, 2, 3 order by 1, 2, 3
on conflict (metric, step, bucket) do update set value = statistics.value + excluded.value
"""

_NOTE_ACTIVE: Final = """
insert into active_users (step, bucket, pseudonym)
select distinct step, date_trunc(step, at, %s), pseudonym
from unnest(%b::uuid[], %b::timestamptz[]) as e (pseudonym, at), unnest(array['hour', 'day']) as s (step)
order by 1, 2, 3 on conflict do nothing
"""
