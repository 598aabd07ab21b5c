"""From an event to the record of what a receiver said, on a real database."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import NamedTuple
from uuid import UUID

import pytest
from harness import World, eventually
from standardwebhooks import Webhook as Verifier

from usercenter.bootstrap import webhooks_of
from usercenter.clock import SystemClock
from usercenter.config.model import Webhooks as Settings
from usercenter.events import Event, UserDeleted, UserUpdated, encode, new_id
from usercenter.handlers.webhooks import deliver_webhook, webhook_lanes
from usercenter.messaging import outbox
from usercenter.messaging.groups import Context
from usercenter.webhooks import queries
from usercenter.webhooks.errors import DeliveryFailed, EventGone, WebhookInvalid, WebhookNotFound
from usercenter.webhooks.model import Webhook
from usercenter.webhooks.service import GONE, Webhooks

SETTINGS = Settings(allowed_hosts=["localhost"], timeout_seconds=2)


class Room(NamedTuple):
    """What the handlers get."""

    world: World
    webhooks: Webhooks
    context: Context

    async def subscribed(self, url: str, *event_types: str) -> tuple[Webhook, str]:
        async with self.world.database.transaction() as tx:
            return await self.webhooks.create(tx, url=url, event_types=event_types or ("*",))

    async def deliver(self, webhook: Webhook, event: Event, *, attempt: int = 1) -> None:
        lane = self.context.__class__(
            clock=self.context.clock, services=self.context.services, attempt=attempt, lane=str(webhook.id)
        )
        await deliver_webhook(event, lane)  # type: ignore[arg-type]

    async def lanes(self, *events: Event) -> list[list[str]]:
        async with self.world.database.transaction() as tx:
            found = await webhook_lanes(events, tx, self.context)  # type: ignore[arg-type]
        return [list(found[event.id]) for event in events]

    async def deliveries(self, webhook: Webhook) -> list[tuple[int, int | None, str | None, str | None]]:
        async with self.world.database.transaction() as tx:
            found = await queries.deliveries(tx, webhook.id, before=None, limit=100)
        return [(each.attempt, each.status, each.answer, each.error) for each in reversed(found)]


@pytest.fixture
async def room(world: World) -> AsyncIterator[Room]:
    clock = SystemClock()
    config = world.config.__class__(webhooks=SETTINGS, tokens=world.config.tokens)
    webhooks = webhooks_of(config, database=world.database, clock=clock)
    yield Room(world, webhooks, Context(clock=clock, services={Webhooks: webhooks}))
    await webhooks.close()


def updated(**fields) -> UserUpdated:
    facts = {"username": "ada", "email": "ada@example.com", "changes": {"email": "ada@example.com"}, "sequence": 2}
    return UserUpdated(**{"id": new_id(), "timestamp": SystemClock().now(), "user_id": new_id(), **facts, **fields})


async def test_an_event_goes_out_signed_under_its_id_as_it_stands_on_kafka(room, receiver):
    webhook, secret = await room.subscribed(receiver.url)
    event = updated()
    await room.deliver(webhook, event)
    (call,) = receiver.calls
    assert call.headers["webhook-id"] == str(event.id)
    assert call.body == encode(event)
    Verifier(secret).verify(call.body, call.headers)
    assert await room.deliveries(webhook) == [(1, 200, "thanks", None)]


async def test_each_event_goes_to_the_enabled_webhooks_that_want_its_type(room, receiver):
    everything, _ = await room.subscribed(receiver.url)
    changes, _ = await room.subscribed(receiver.url, "user.updated", "user.registered")
    await room.subscribed(receiver.url, "user.deleted")
    off, _ = await room.subscribed(receiver.url)
    async with room.world.database.transaction() as tx:
        await room.webhooks.change(tx, off.id, is_enabled=False)
    event = updated()
    assert await room.lanes(event) == [[str(everything.id), str(changes.id)]]
    await room.deliver(off, event)
    assert receiver.calls == []


async def test_a_failed_call_is_tried_again_under_the_same_id_and_every_attempt_is_kept(room, receiver, an_answer):
    webhook, _ = await room.subscribed(receiver.url)
    event = updated()
    receiver.answer = an_answer(503, b"busy", retry_after="120")
    with pytest.raises(DeliveryFailed) as failed:
        await room.deliver(webhook, event)
    assert failed.value.retry_after_seconds == 120
    receiver.answer = b""
    with pytest.raises(DeliveryFailed, match="connection broke"):
        await room.deliver(webhook, event, attempt=2)
    receiver.answer = an_answer(204, b"")
    await room.deliver(webhook, event, attempt=3)
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1
    first, second, third = await room.deliveries(webhook)
    assert first == (1, 503, "busy", "answered 503")
    assert second[:2] == (2, None)
    assert third == (3, 204, None, None)


async def test_410_disables_the_webhook_and_gives_up(room, receiver, an_answer):
    webhook, _ = await room.subscribed(receiver.url)
    receiver.answer = an_answer(410)
    await room.deliver(webhook, updated())
    async with room.world.database.transaction() as tx:
        found = await queries.find(tx, webhook.id)
    assert found is not None
    assert (found.is_enabled, found.disabled_reason) == (False, GONE)
    await room.deliver(webhook, updated())
    assert await room.lanes(updated()) == [[]]
    assert len(receiver.calls) == 1


async def test_a_deleted_webhook_is_called_no_more(room, receiver):
    webhook, _ = await room.subscribed(receiver.url)
    await room.deliver(webhook, updated())
    async with room.world.database.transaction() as tx:
        assert await queries.delete(tx, webhook.id)
    await room.deliver(webhook, updated())
    assert len(receiver.calls) == 1
    assert await room.world.count("webhook_deliveries") == 0


async def test_during_a_rotation_two_secrets_sign_and_afterwards_the_new_one_alone(room, receiver):
    webhook, old = await room.subscribed(receiver.url)
    async with room.world.database.transaction() as tx:
        _, new = await room.webhooks.rotate_secret(tx, webhook.id)
    await room.deliver(webhook, updated())
    async with room.world.database.transaction() as tx:
        await room.webhooks.end_rotation(tx, webhook.id)
    await room.deliver(webhook, updated())
    rotating, rotated = receiver.calls
    for secret in (old, new):
        Verifier(secret).verify(rotating.body, rotating.headers)
    Verifier(new).verify(rotated.body, rotated.headers)
    assert len(rotated.headers["webhook-signature"].split(" ")) == 1


async def test_the_database_holds_no_secret_that_can_be_read(room, receiver):
    _, secret = await room.subscribed(receiver.url)
    (kept,) = await room.world.value("select secrets from webhooks")
    assert secret.encode() not in bytes(kept)
    assert secret.removeprefix("whsec_").encode() not in bytes(kept)


async def test_an_event_is_sent_again_by_hand_as_it_was_and_under_its_id(room, receiver, an_answer):
    webhook, secret = await room.subscribed(receiver.url)
    event = updated()
    async with room.world.database.transaction() as tx:
        await outbox.add(tx, event)
        await tx.execute("delete from outbox")
    receiver.answer = an_answer(500)
    with pytest.raises(DeliveryFailed):
        await room.deliver(webhook, event)
    receiver.answer = an_answer(200)
    number = await room.world.value("select id from webhook_deliveries")
    delivery = await room.webhooks.redeliver(webhook.id, number)
    assert (delivery.attempt, delivery.status, delivery.error) == (2, 200, None)
    first, again = receiver.calls
    assert json.loads(again.body) == json.loads(first.body)
    assert again.headers["webhook-id"] == str(event.id)
    Verifier(secret).verify(again.body, again.headers)


async def test_an_event_that_is_not_kept_cannot_be_sent_again(room, receiver):
    webhook, _ = await room.subscribed(receiver.url)
    await room.deliver(webhook, updated())
    number = await room.world.value("select id from webhook_deliveries")
    with pytest.raises(EventGone, match="not kept"):
        await room.webhooks.redeliver(webhook.id, number)


async def test_a_test_event_goes_out_at_once_and_is_signed_and_kept(room, receiver):
    webhook, secret = await room.subscribed(receiver.url, "user.deleted")
    delivery = await room.webhooks.test(webhook.id, actor="ada")
    assert (delivery.status, delivery.event_type, delivery.attempt) == (200, "webhook.test", 1)
    sent = Verifier(secret).verify(receiver.calls[0].body, receiver.calls[0].headers)
    assert (sent["type"], sent["webhook_id"], sent["actor"]) == ("webhook.test", str(webhook.id), "ada")
    with pytest.raises(WebhookNotFound):
        await room.webhooks.test(UUID(int=7), actor="ada")


async def test_of_a_deleted_user_no_answer_is_kept(room, receiver):
    webhook, _ = await room.subscribed(receiver.url)
    deletion = UserDeleted(
        id=new_id(), timestamp=SystemClock().now(), user_id=new_id(), username="ada", email="ada@example.com"
    )
    await room.deliver(webhook, deletion)
    gone = updated()
    async with room.world.database.transaction() as tx:
        await tx.execute(
            "insert into erasures (user_id, event_id, deleted_by, purged_at) values (%s, %s, 'x', now())",
            (gone.user_id, new_id()),
        )
    await room.deliver(webhook, gone)
    assert await room.deliveries(webhook) == [(1, 200, None, None), (1, 200, None, None)]


async def test_every_fault_of_a_subscription_is_named_and_nothing_is_stored(room):
    with pytest.raises(WebhookInvalid) as refused:
        async with room.world.database.transaction() as tx:
            await room.webhooks.create(tx, url="http://10.0.0.1/", event_types=["user.upated"], secret="short")
    assert [problem.field for problem in refused.value.problems] == ["url", "event_types", "secret"]
    assert await room.world.count("webhooks") == 0


async def test_old_attempts_are_forgotten(room, receiver):
    webhook, _ = await room.subscribed(receiver.url)
    await room.deliver(webhook, updated())
    await room.deliver(webhook, updated())
    async with room.world.database.transaction() as tx:
        await tx.execute("update webhook_deliveries set delivered_at = now() - interval '31 days' where id = 1")
    forgetting = asyncio.create_task(room.webhooks.keep_forgetting())
    await eventually(
        lambda: room.world.count("webhook_deliveries"), lambda number: number == 1, what="the end of the older one"
    )
    forgetting.cancel()
    assert len(await room.deliveries(webhook)) == 1
