"""What follows from a deletion: personal data is purged, and when everything else is done, it is confirmed.

The users table itself was cleared by the deletion. What is purged here is listed once, by table; a test compares the
list with the columns that the schema marks personal, so a new table cannot be forgotten.
"""

from collections.abc import Sequence
from typing import Final, LiteralString

import msgspec
import structlog

from usercenter.db import Database, Transaction
from usercenter.events import NotificationRequested, UserDeleted, derived_id
from usercenter.messaging import outbox
from usercenter.messaging.groups import Context, NotYet

log = structlog.get_logger()

TEMPLATE: Final = "deletion_confirmation"
_FIRST_LOOK_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 60.0
_WORTH_TELLING_SECONDS: Final = 3_600.0
LACKS_RECEIPT: Final = "not exists (select 1 from erasures r where r.user_id = e.user_id)"
"""Where the effect of a handled deletion is not there; for `usercenter verify`."""

PURGES: Final[dict[str, LiteralString]] = {
    "sessions": "delete from sessions where user_id = any(%(users)s)",
    "one_time_tokens": "delete from one_time_tokens where user_id = any(%(users)s)",
    "user_settings": "delete from user_settings where user_id = any(%(users)s)",
    "login_log": "delete from login_log where user_id = any(%(users)s)",
    "last_logins": "delete from last_logins where user_id = any(%(users)s)",
    "login_failures": "delete from login_failures where user_id = any(%(users)s)",
    "security_log": "delete from security_log where user_id = any(%(users)s)",
    "webhook_deliveries": "update webhook_deliveries set answer = null, error = null where user_id = any(%(users)s)",
    "dead_letters": "update dead_letters set value = null, headers = '{}', error = 'erased', key = null "
    "where user_id = any(%(users)s) or (user_id is null and key = any(%(keys)s))",  # before the tasks: it waits for
    # who is making tasks of them; what nobody could read has no user, only a key
    "tasks": "delete from tasks where user_id = any(%(users)s) and event_id <> all(%(events)s)",
    "event_log": "update event_log set payload = json_build_object('id', id, 'type', type, 'user_id', user_id, "
    "'sequence', sequence, 'erased', true) where user_id = any(%(users)s)",
}
"""By table: how the personal data of users goes. What is left says that something happened, and nothing about whom."""

ELSEWHERE: Final = {
    "users": "cleared by the deletion itself",
    "outbox": "rows leave within moments, by being sent",
    "idempotency_keys": "sealed with the sender's own key, gone after retention.idempotency_key_hours",
}
"""Tables with personal columns that need no purge, and why."""


class Witnesses(msgspec.Struct, frozen=True):
    """The groups that react to a deletion; each must have seen it before it is confirmed."""

    groups: tuple[str, ...]


async def purge_personal_data(events: Sequence[UserDeleted], tx: Transaction, context: Context) -> None:
    """Purge everything personal about the deleted users, and keep a receipt without any.

    From this transaction on, other events of these users change nothing.
    """
    await tx.send(
        "insert into erasures (user_id, event_id, deleted_by, purged_at) "
        "select *, %s from unnest(%b::uuid[], %b::uuid[], %b::text[]) on conflict do nothing",
        (
            context.clock.now(),
            [event.user_id for event in events],
            [event.id for event in events],
            [event.deleted_by or "unknown" for event in events],
        ),
    )
    parameters = {
        "users": [event.user_id for event in events],
        "keys": [str(event.user_id).encode() for event in events],
        "events": [event.id for event in events],
    }
    for statement in PURGES.values():
        await tx.send(statement, parameters)


async def confirm_deletion(event: UserDeleted, context: Context) -> None:
    """Ask for the confirmation mail once every other handler of the deletion is done, and complete the receipt.

    A handler that gave up (a dead letter) is done, too. As long as others are not, this is NotYet, and the log says
    once an hour whom it waits for. May run twice: the request has the same id each time.
    """
    witnesses = context.service(Witnesses).groups
    async with context.service(Database).transaction() as tx:
        seen = await tx.fetch_one(
            "select count(*) from inbox where event_id = %s and group_name = any(%s)", (event.id, list(witnesses))
        )
        unfinished = await tx.fetch_all(
            "select handler from tasks where event_id = %s and handler <> %s order by handler limit 5",
            (event.id, confirm_deletion.__name__),
        )
        receipt = await tx.fetch_one(
            "select confirmed_at from erasures where user_id = %s for update", (event.user_id,)
        )
        if unfinished or receipt is None or seen is None or seen[0] < len(witnesses):
            raise _not_yet(event, [row[0] for row in unfinished], context)
        if receipt[0] is not None:
            return
        await tx.execute(
            "update erasures set confirmed_at = %s where user_id = %s", (context.clock.now(), event.user_id)
        )
        await outbox.add(tx, _confirmation(event, context))


def _not_yet(event: UserDeleted, waits_for: Sequence[str], context: Context) -> NotYet:
    """Look again after as long as it has taken until now: soon at first, and once a minute in the end."""
    age = (context.clock.now() - event.occurred_at).total_seconds()
    seconds = min(max(age, _FIRST_LOOK_SECONDS), _LONGEST_PAUSE_SECONDS)
    if age > _WORTH_TELLING_SECONDS and age % _WORTH_TELLING_SECONDS < seconds:
        log.warning("erasure.confirmation_waits", event_id=str(event.id), waits_for=waits_for, seconds=round(age))
    return NotYet(seconds)


def _confirmation(event: UserDeleted, context: Context) -> NotificationRequested:
    return NotificationRequested(
        id=derived_id(event.id, confirm_deletion.__name__),
        timestamp=context.clock.now(),
        request_id=event.request_id,
        user_id=event.user_id,
        actor="system",
        causation_id=event.id,
        template=TEMPLATE,
        to=event.email,
        category="security",
        parameters={"username": event.username},
    )
