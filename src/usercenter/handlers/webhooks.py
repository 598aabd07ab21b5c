"""Telling other systems: one signed call for each event and each webhook that wants it."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from usercenter.db import Transaction
from usercenter.events import UserEvent
from usercenter.messaging.groups import Context
from usercenter.webhooks import queries
from usercenter.webhooks.service import Webhooks


async def webhook_lanes(events: Sequence[UserEvent], tx: Transaction, context: Context) -> Mapping[UUID, Sequence[str]]:
    """By event: the ids of the webhooks that want it now, one lane each, so that a slow receiver delays no other."""
    del context
    webhooks = await queries.all_of(tx, only_enabled=True)
    return {event.id: [str(webhook.id) for webhook in webhooks if webhook.wants(event.type)] for event in events}


def calls_to_a_receiver(context: Context) -> int:
    """How many calls one receiver gets at a time."""
    return context.service(Webhooks).concurrent_per_receiver


async def deliver_webhook(event: UserEvent, context: Context) -> None:
    """Call the webhook of this lane: at least once, under the event's id, in each user's order.

    A failed call is raised as DeliveryFailed and tried again.
    """
    await context.service(Webhooks).deliver(UUID(context.lane), event, attempt=context.attempt)
