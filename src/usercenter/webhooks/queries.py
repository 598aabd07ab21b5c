"""The statements over `webhooks` and `webhook_deliveries`. None commits."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from usercenter.db import Transaction
from usercenter.webhooks.model import Delivery, Message, Outcome, Webhook

_WEBHOOK: Final = "id, url, event_types, secrets, is_enabled, disabled_reason, created_at, updated_at"
_DELIVERY: Final = (
    "id, webhook_id, event_id, event_type, user_id, attempt, status, answer, error, took_ms, delivered_at"
)


async def insert(tx: Transaction, webhook: Webhook) -> None:
    """Keep a new webhook."""
    await tx.execute(
        "insert into webhooks (id, url, event_types, secrets, is_enabled, created_at, updated_at) "
        "values (%s, %s, %s, %s, %s, %s, %s)",
        (
            webhook.id,
            webhook.url,
            webhook.event_types,
            webhook.sealed_secrets,
            webhook.is_enabled,
            webhook.created_at,
            webhook.updated_at,
        ),
    )


async def all_of(tx: Transaction, *, only_enabled: bool = False) -> list[Webhook]:
    """Every webhook, the oldest first."""
    rows = await tx.fetch_all(
        f"select {_WEBHOOK} from webhooks where is_enabled or not %s order by created_at, id", (only_enabled,)
    )
    return [_webhook(row) for row in rows]


async def find(tx: Transaction, webhook_id: UUID, *, for_update: bool = False) -> Webhook | None:
    """The webhook with this id; `for_update` keeps others from changing it until the commit."""
    row = await tx.fetch_one(
        f"select {_WEBHOOK} from webhooks where id = %s" + (" for update" if for_update else ""), (webhook_id,)
    )
    return _webhook(row) if row else None


async def store(tx: Transaction, webhook: Webhook) -> None:
    """Keep what has become of a webhook."""
    await tx.execute(
        "update webhooks set url = %s, event_types = %s, secrets = %s, is_enabled = %s, disabled_reason = %s, "
        "updated_at = %s where id = %s",
        (
            webhook.url,
            webhook.event_types,
            webhook.sealed_secrets,
            webhook.is_enabled,
            webhook.disabled_reason,
            webhook.updated_at,
            webhook.id,
        ),
    )


async def disable(tx: Transaction, webhook_id: UUID, *, reason: str, now: datetime) -> bool:
    """Send no more there; says whether it was enabled."""
    cursor = await tx.execute(
        "update webhooks set is_enabled = false, disabled_reason = %s, updated_at = %s where id = %s and is_enabled",
        (reason, now, webhook_id),
    )
    return cursor.rowcount > 0


async def delete(tx: Transaction, webhook_id: UUID) -> bool:
    """Forget a webhook and its deliveries; says whether it was there."""
    return (await tx.execute("delete from webhooks where id = %s", (webhook_id,))).rowcount > 0


async def record(
    tx: Transaction, webhook_id: UUID, message: Message, outcome: Outcome, *, attempt: int | None, now: datetime
) -> Delivery | None:
    """Keep an attempt; None when the webhook is gone. Without a number it is counted on from the attempts before.

    Receivers like to repeat what they were sent, so of users who are erased no answer is kept.
    """
    row = await tx.fetch_one(
        _RECORD,
        {
            "webhook_id": webhook_id,
            "event_id": message.event_id,
            "event_type": message.event_type,
            "user_id": message.user_id,
            "attempt": attempt,
            "status": outcome.status,
            "answer": outcome.answer,
            "error": outcome.error,
            "took_ms": outcome.took_ms,
            "now": now,
        },
    )
    return _delivery(row) if row else None


async def deliveries(tx: Transaction, webhook_id: UUID, *, before: int | None, limit: int) -> list[Delivery]:
    """The latest attempts first; `before` goes on behind the last one of the page before."""
    rows = await tx.fetch_all(
        f"select {_DELIVERY} from webhook_deliveries where webhook_id = %s and id < coalesce(%s, 9223372036854775807) "
        "order by id desc limit %s",
        (webhook_id, before, limit),
    )
    return [_delivery(row) for row in rows]


async def find_delivery(tx: Transaction, webhook_id: UUID, delivery_id: int) -> Delivery | None:
    """The attempt with this number."""
    row = await tx.fetch_one(
        f"select {_DELIVERY} from webhook_deliveries where webhook_id = %s and id = %s", (webhook_id, delivery_id)
    )
    return _delivery(row) if row else None


async def body_of(tx: Transaction, event_id: UUID) -> bytes | None:
    """The event as it was on the wire, from the event log or from a dead letter; None when neither has it."""
    row = await tx.fetch_one(
        "select convert_to(payload::text, 'UTF8') from event_log where id = %(id)s and payload->>'erased' is null "
        "union all select value from dead_letters where event_id = %(id)s and value is not null limit 1",
        {"id": event_id},
    )
    return bytes(row[0]) if row else None


async def forget_older_than(tx: Transaction, *, before: datetime) -> int:
    """Delete attempts made before this moment; returns how many."""
    return (await tx.execute("delete from webhook_deliveries where delivered_at < %s", (before,))).rowcount


def _webhook(row: Any) -> Webhook:
    id_, url, event_types, secrets, is_enabled, disabled_reason, created_at, updated_at = row
    return Webhook(
        id=id_,
        url=url,
        event_types=event_types,
        sealed_secrets=[bytes(secret) for secret in secrets],
        is_enabled=is_enabled,
        disabled_reason=disabled_reason,
        created_at=created_at,
        updated_at=updated_at,
    )


def _delivery(row: Any) -> Delivery:
    return Delivery(**dict(zip(Delivery.__struct_fields__, row, strict=True)))


_RECORD: Final = f"""
insert into webhook_deliveries
    (webhook_id, event_id, event_type, user_id, attempt, status, answer, error, took_ms, delivered_at)
select %(webhook_id)s, %(event_id)s, %(event_type)s, %(user_id)s,
    coalesce(%(attempt)s::int, 1 + (
        select count(*) from webhook_deliveries d
        where d.user_id = %(user_id)s and d.webhook_id = %(webhook_id)s and d.event_id = %(event_id)s
    )),
    %(status)s, case when is_erased then null else %(answer)s::text end, %(error)s, %(took_ms)s, %(now)s
from (
    select %(event_type)s = 'user.deleted' or exists (select from erasures where user_id = %(user_id)s) as is_erased
) as user_state
where exists (select from webhooks where id = %(webhook_id)s for key share)
returning {_DELIVERY}
"""
