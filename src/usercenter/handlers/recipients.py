"""To whom a notification goes, in which language, and whether it may go now."""

from zoneinfo import ZoneInfo

import msgspec
import structlog

from usercenter.config.model import Accounts
from usercenter.db import Database
from usercenter.events import NotificationRequested
from usercenter.messaging.groups import Context, NotYet, PermanentFailure
from usercenter.users import settings
from usercenter.users.settings import Notifications

log = structlog.get_logger()


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """An address or a number, and how its owner wants to be told."""

    to: str
    locale: str
    time_zone: str
    notifications: Notifications


async def recipient_of(event: NotificationRequested, context: Context) -> Recipient:
    """Whom a request means: what it says itself, else what the user's account and settings say.

    A user who is not (or no longer) there has the defaults, and needs an address in the request. Raises
    PermanentFailure when there is none.
    """
    async with context.service(Database).reading() as tx:
        ((email, phone, *chosen),) = await tx.fetch_all(
            "select u.email, u.phone, coalesce(s.locale, u.locale), s.time_zone, s.notifications "
            "from (select %s::uuid as id) as one left join users u on u.id = one.id and u.status <> 'deleted' "
            "left join user_settings s on s.user_id = one.id",
            (event.user_id,),
        )
    found = settings.of_row(tuple(chosen), context.service(Accounts))
    to = event.to or (phone if event.channel == "sms" else email)
    if not to:
        what = "phone number" if event.channel == "sms" else "address"
        raise PermanentFailure(f"nobody to tell: the request has no `to`, and the user has no {what}")
    return Recipient(
        to=to,
        locale=event.locale or found.locale,
        time_zone=_known_zone(found.time_zone),
        notifications=found.notifications,
    )


def says_yes(event: NotificationRequested, recipient: Recipient, context: Context) -> bool:
    """Whether the user wants this; security is not asked. Raises NotYet until the end of the user's quiet hours."""
    if event.category == "security":
        return True
    choices = recipient.notifications
    if not (choices.sms if event.channel == "sms" else choices.mail):
        log.info("notify.declined_by_user", notification_id=str(event.id), channel=event.channel)
        return False
    if seconds := settings.quiet_seconds(choices.quiet_hours, recipient.time_zone, context.clock.now()):
        raise NotYet(seconds)
    return True


def _known_zone(name: str) -> str:
    """The zone, or UTC where this machine does not know it (any more)."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        log.warning("notify.time_zone_unknown", time_zone=name, used="UTC")
        return "UTC"
    return name
