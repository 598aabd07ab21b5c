"""The link in a mail that proves a mailbox, made from the id of a one-time token at the last moment.

Many can read and write `user.notifications`, so the id alone is worth nothing: a link goes only to the mailbox that the
token was made for, in the template of its purpose, and never comes from the request itself.
"""

from typing import Any
from uuid import UUID

import structlog

from usercenter.db import Database
from usercenter.events import NotificationRequested
from usercenter.messaging.groups import Context, PermanentFailure
from usercenter.users.names import key_of
from usercenter.users.one_time_links import PURPOSES, OneTimeLinks, find_mailed_token

log = structlog.get_logger()


async def with_link(event: NotificationRequested, to: str, context: Context) -> dict[str, Any] | None:
    """The parameters of a mail, with `link` instead of `token_id` where its template needs one.

    None when the token was used, replaced or has expired meanwhile: the mail would only mislead. Raises
    PermanentFailure when token, template, user and address do not belong together.
    """
    if event.template not in PURPOSES:
        if "token_id" in event.parameters:
            raise PermanentFailure(f"the template {event.template!r} has no link: leave token_id out")
        return event.parameters
    token_id = _token_id(event.parameters)
    async with context.service(Database).transaction() as tx:
        token = await find_mailed_token(tx, token_id, now=context.clock.now())
    if token is None:
        raise PermanentFailure("there is no such one-time token")
    is_theirs = token.user_id == event.user_id and key_of(token.email) == key_of(to)
    if token.purpose != event.template or not is_theirs:
        raise PermanentFailure("this one-time token was made for another purpose, user or address")
    if not token.is_good:
        log.info("notify.token_outdated", notification_id=str(event.id), template=event.template)
        return None
    rest = {name: value for name, value in event.parameters.items() if name != "token_id"}
    return rest | {"link": context.service(OneTimeLinks).link(token.purpose, token_id)}


def _token_id(parameters: dict[str, Any]) -> UUID:
    try:
        return UUID(parameters["token_id"])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise PermanentFailure("the parameter token_id is missing or no UUID") from None
