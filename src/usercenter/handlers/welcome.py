"""The welcome of a new user."""

from collections.abc import Sequence
from typing import Final

from usercenter.db import Transaction
from usercenter.events import NotificationRequested, UserRegistered, derived_id
from usercenter.messaging import outbox
from usercenter.messaging.groups import Context

TEMPLATE: Final = "welcome"


async def ask_for_welcome_mail(events: Sequence[UserRegistered], tx: Transaction, context: Context) -> None:
    """Ask on `user.notifications` for a welcome mail to each new user; the request has the same id at every attempt.

    An event whose `data.welcome` is false (most imports) asks for none.
    """
    requests = [
        NotificationRequested(
            id=derived_id(event.id, ask_for_welcome_mail.__name__),
            timestamp=context.clock.now(),
            request_id=event.request_id,
            user_id=event.user_id,
            actor="system",
            causation_id=event.id,
            template=TEMPLATE,
            to=event.email,
            locale=event.locale,
            parameters={"username": event.username, "email": event.email},
        )
        for event in events
        if event.data.get("welcome", True)
    ]
    if requests:
        await outbox.add(tx, *requests)
