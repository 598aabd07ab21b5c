"""The verbs: subscribe receivers, send them events, and keep each attempt.

What changes a subscription takes a transaction and does not commit. What sends is several short transactions, and none
is open while a receiver is waited for.
"""

import asyncio
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from msgspec.structs import replace

from usercenter.clock import Clock
from usercenter.config.model import Webhooks as Settings
from usercenter.db import Database, DatabaseUnavailable, Transaction
from usercenter.events import Event, encode, new_id
from usercenter.tracing import UNTRACED, Tracing
from usercenter.webhooks import queries
from usercenter.webhooks.addresses import fault_of
from usercenter.webhooks.errors import (
    DeliveryFailed,
    DeliveryNotFound,
    EventGone,
    Problem,
    SecretUnreadable,
    WebhookInvalid,
    WebhookNotFound,
)
from usercenter.webhooks.model import ALL, NOBODY, Delivery, Message, Outcome, Webhook, WebhookTested
from usercenter.webhooks.sealing import PURPOSE, Seal
from usercenter.webhooks.sender import Sender
from usercenter.webhooks.signing import is_secret, new_secret, signed_headers

log = structlog.get_logger()

GONE: Final = "the receiver answered 410 Gone"
DISABLED_BY_HAND: Final = "disabled by an administrator"
_FORGET_EVERY_SECONDS: Final = 3_600.0


class Webhooks:
    """All of it, for one process. `derive` makes secret keys from a purpose, `event_types` are those that exist."""

    def __init__(
        self,
        settings: Settings,
        *,
        database: Database,
        clock: Clock,
        derive: Callable[[str], bytes],
        event_types: Collection[str],
        sender: Sender | None = None,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._event_types = event_types
        self._seal = Seal(derive(PURPOSE))
        self._sender = sender or Sender(settings, clock=clock, tracing=tracing)

    @property
    def concurrent_per_receiver(self) -> int:
        """How many calls one receiver bears at a time."""
        return self._settings.concurrent_per_receiver

    async def create(
        self, tx: Transaction, *, url: str, event_types: Collection[str], secret: str | None = None
    ) -> tuple[Webhook, str]:
        """Subscribe a receiver; returns its secret too, which is not shown again. Raises WebhookInvalid."""
        self._check(url=url, event_types=event_types, secret=secret)
        now, id_ = self._clock.now(), new_id()
        secret = secret or new_secret()
        webhook = Webhook(
            id=id_,
            url=url,
            event_types=list(dict.fromkeys(event_types)),
            sealed_secrets=[self._seal.close(id_, secret)],
            is_enabled=True,
            disabled_reason=None,
            created_at=now,
            updated_at=now,
        )
        await queries.insert(tx, webhook)
        return webhook, secret

    async def change(
        self,
        tx: Transaction,
        webhook_id: UUID,
        *,
        url: str | None = None,
        event_types: Collection[str] | None = None,
        is_enabled: bool | None = None,
    ) -> Webhook:
        """Change what is given. Events of the time when it was disabled are not sent later.

        Raises WebhookNotFound, WebhookInvalid.
        """
        self._check(url=url, event_types=event_types)
        changes: dict[str, Any] = {}
        if url is not None:
            changes["url"] = url
        if event_types is not None:
            changes["event_types"] = list(dict.fromkeys(event_types))
        if is_enabled is not None:
            changes |= {"is_enabled": is_enabled, "disabled_reason": None if is_enabled else DISABLED_BY_HAND}
        return await self._store(tx, await found(tx, webhook_id, for_update=True), changes)

    async def rotate_secret(
        self, tx: Transaction, webhook_id: UUID, *, secret: str | None = None
    ) -> tuple[Webhook, str]:
        """Give it a new secret, the old one signs beside it until the next rotation or `end_rotation`.

        Returns the new one, which is not shown again. Raises WebhookNotFound, WebhookInvalid.
        """
        self._check(secret=secret)
        webhook = await found(tx, webhook_id, for_update=True)
        secret = secret or new_secret()
        sealed = [self._seal.close(webhook_id, secret), *self._readable(webhook)[:1]]
        return await self._store(tx, webhook, {"sealed_secrets": sealed}), secret

    async def end_rotation(self, tx: Transaction, webhook_id: UUID) -> Webhook:
        """Let the newest secret alone sign; changes nothing when it does already. Raises WebhookNotFound."""
        webhook = await found(tx, webhook_id, for_update=True)
        return await self._store(tx, webhook, {"sealed_secrets": webhook.sealed_secrets[:1]})

    async def deliver(self, webhook_id: UUID, event: Event, *, attempt: int) -> Delivery | None:
        """Send an event once, and record it; None, and nothing sent, where the webhook is gone or disabled.

        A 410 disables the webhook and is an end too. Raises DeliveryFailed when another attempt is due.
        """
        async with self._database.reading() as tx:
            webhook = await queries.find(tx, webhook_id)
        if webhook is None or not webhook.is_enabled:
            return None
        delivery, outcome = await self._attempt(webhook, message_of(event), attempt)
        if outcome.is_done or outcome.is_gone:
            return delivery
        raise DeliveryFailed(f"webhook {webhook_id}: {outcome.error}", retry_after_seconds=outcome.retry_after_seconds)

    async def redeliver(self, webhook_id: UUID, delivery_id: int) -> Delivery:
        """Send the event of an earlier attempt again, at once and whatever came of it, under the same webhook-id.

        Raises WebhookNotFound, DeliveryNotFound, EventGone.
        """
        async with self._database.transaction() as tx:
            webhook = await found(tx, webhook_id)
            earlier = await queries.find_delivery(tx, webhook_id, delivery_id)
            if earlier is None:
                raise DeliveryNotFound("this webhook has no such delivery (any more)")
            body = await queries.body_of(tx, earlier.event_id)
        if body is None:
            raise EventGone("the event is not kept (any more): it was a test, or its user is deleted, or another's own")
        message = Message(event_id=earlier.event_id, event_type=earlier.event_type, user_id=earlier.user_id, body=body)
        return _kept((await self._attempt(webhook, message, None))[0])

    async def test(self, webhook_id: UUID, *, actor: str) -> Delivery:
        """Send a `webhook.test` at once, not through Kafka, and say what came of it. Raises WebhookNotFound."""
        async with self._database.transaction() as tx:
            webhook = await found(tx, webhook_id)
        event = WebhookTested(
            id=new_id(), timestamp=self._clock.now(), user_id=NOBODY, actor=actor, webhook_id=webhook_id
        )
        return _kept((await self._attempt(webhook, message_of(event), 1))[0])

    async def keep_forgetting(self) -> None:
        """Delete attempts older than `webhooks.deliveries_days`, now and then, until cancelled."""
        while True:
            before = self._clock.now() - timedelta(days=self._settings.deliveries_days)
            try:
                async with self._database.transaction() as tx:
                    await queries.forget_older_than(tx, before=before)
            except DatabaseUnavailable:
                log.warning("webhooks.database_unavailable", next="old deliveries are forgotten later")
            await asyncio.sleep(_FORGET_EVERY_SECONDS)

    async def close(self) -> None:
        """Let go of the connections. May be called twice."""
        await self._sender.close()

    async def _attempt(
        self, webhook: Webhook, message: Message, attempt: int | None
    ) -> tuple[Delivery | None, Outcome]:
        outcome = await self._send(webhook, message)
        now = self._clock.now()
        async with self._database.transaction() as tx:
            delivery = await queries.record(tx, webhook.id, message, outcome, attempt=attempt, now=now)
            is_disabled = outcome.is_gone and await queries.disable(tx, webhook.id, reason=GONE, now=now)
        facts = {"webhook_id": str(webhook.id), "event_id": str(message.event_id), "status": outcome.status}
        log.info("webhooks.called", **facts, error=outcome.error, took_ms=outcome.took_ms)
        if is_disabled:
            log.warning("webhooks.disabled", webhook_id=str(webhook.id), reason=GONE)
        return delivery, outcome

    async def _send(self, webhook: Webhook, message: Message) -> Outcome:
        try:
            secrets = [self._seal.open(webhook.id, sealed) for sealed in webhook.sealed_secrets]
        except SecretUnreadable as error:
            return Outcome(error=str(error))
        headers = signed_headers(message.event_id, self._clock.now(), message.body, secrets)
        return await self._sender.post(webhook.url, headers, message.body)

    async def _store(self, tx: Transaction, webhook: Webhook, changes: dict[str, Any]) -> Webhook:
        changed = replace(webhook, **changes, updated_at=self._clock.now())
        await queries.store(tx, changed)
        return changed

    def _readable(self, webhook: Webhook) -> list[bytes]:
        """Its secrets without those of another signing key, which would make every attempt fail."""
        return [sealed for sealed in webhook.sealed_secrets if self._seal.opens(webhook.id, sealed)]

    def _check(
        self, *, url: str | None = None, event_types: Collection[str] | None = None, secret: str | None = None
    ) -> None:
        problems = []
        if url is not None and (fault := fault_of(url, self._settings.allowed_hosts)):
            problems.append(Problem("url", "url", fault))
        if event_types is not None and (fault := self._types_fault(event_types)):
            problems.append(Problem("event_types", "event_types", fault))
        if secret is not None and not is_secret(secret):
            problems.append(Problem("secret", "secret", "must be whsec_ and 24 to 64 bytes in base64; or leave it out"))
        if problems:
            raise WebhookInvalid(problems)

    def _types_fault(self, event_types: Collection[str]) -> str | None:
        unknown = [each for each in event_types if each != ALL and each not in self._event_types]
        if event_types and not unknown:
            return None
        named = f"{', '.join(map(repr, unknown))} is not known here; " if unknown else ""
        return f"{named}must be some of {', '.join(sorted(self._event_types))}; or {ALL} for all"


async def found(tx: Transaction, webhook_id: UUID, *, for_update: bool = False) -> Webhook:
    """The webhook with this id. Raises WebhookNotFound."""
    webhook = await queries.find(tx, webhook_id, for_update=for_update)
    if webhook is None:
        raise WebhookNotFound("there is no webhook with this id (any more)")
    return webhook


def message_of(event: Event) -> Message:
    """The event as it is sent: as it stands on Kafka."""
    return Message(event_id=event.id, event_type=event.type, user_id=event.user_id, body=encode(event))


def _kept(delivery: Delivery | None) -> Delivery:
    if delivery is None:
        raise WebhookNotFound("the webhook was deleted while it was called")
    return delivery
