"""A deletion is confirmed after everything else that follows from it, and never before."""

from datetime import UTC, datetime, timedelta

import pytest
from harness import World
from structlog.testing import capture_logs

from usercenter.clock import HeldClock
from usercenter.db import Database
from usercenter.events import UserDeleted, new_id
from usercenter.handlers.erasure import Witnesses, confirm_deletion, purge_personal_data
from usercenter.messaging import inbox
from usercenter.messaging.groups import Context, NotYet

DELETED_AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
EVENT = UserDeleted(
    id=new_id(), timestamp=DELETED_AT, user_id=new_id(), username="ada", email="ada@example.com", deleted_by="admin"
)
WEBHOOK = "deliver_webhook/01980000-0000-7000-8000-00000000000b"


def after(world: World, **age: float) -> Context:
    """What the handler gets so long after the deletion."""
    services = {Witnesses: Witnesses(("first", "webhooks")), Database: world.database}
    return Context(clock=HeldClock(DELETED_AT + timedelta(**age)), services=services)


async def purge(world: World, *seen_by: str) -> None:
    async with world.database.transaction() as tx:
        await purge_personal_data([EVENT], tx, after(world))
        for group in seen_by:
            await inbox.admit(tx, group, [EVENT.id])


async def leave_call(world: World) -> None:
    """The task of a receiver that has not taken the deletion yet."""
    await world.rows(
        "insert into tasks (handler, user_id, event_id, event_type, shard, payload, group_name, topic, "
        "kafka_partition, kafka_offset, occurred_at) values (%s, %s, %s, 'user.deleted', 0, '', 'g', 't', 0, 0, %s) "
        "returning position",
        WEBHOOK, EVENT.user_id, EVENT.id, DELETED_AT,
    )  # fmt: skip


async def test_it_waits_for_a_group_that_has_not_seen_the_deletion(world: World) -> None:
    await purge(world, "first")

    with pytest.raises(NotYet):
        await confirm_deletion(EVENT, after(world, seconds=1))

    assert await world.count("outbox") == 0


async def test_it_waits_for_a_receiver_and_is_sent_once_that_is_done(world: World) -> None:
    await purge(world, "first", "webhooks")
    await leave_call(world)
    with pytest.raises(NotYet):
        await confirm_deletion(EVENT, after(world, hours=70))
    assert await world.rows("select confirmed_at from erasures") == [(None,)]

    await world.rows("delete from tasks returning position")
    for _ in range(2):
        await confirm_deletion(EVENT, after(world, hours=71))

    assert await world.rows("select aggregateid, type from outbox") == [(str(EVENT.user_id), "notification.requested")]
    assert await world.rows("select confirmed_at from erasures") == [(DELETED_AT + timedelta(hours=71),)]


@pytest.mark.parametrize(("age", "pause"), [(0.0, 0.5), (3.0, 3.0), (50.0, 50.0), (90_000.0, 60.0)])
async def test_it_looks_again_soon_at_first_and_once_a_minute_later(world: World, age: float, pause: float) -> None:
    await purge(world, "first")

    with pytest.raises(NotYet) as waiting:
        await confirm_deletion(EVENT, after(world, seconds=age))

    assert waiting.value.seconds == pause


async def test_once_an_hour_the_log_says_whom_it_waits_for(world: World) -> None:
    await purge(world, "first", "webhooks")
    await leave_call(world)

    with capture_logs() as lines:
        for minute in range(181):
            with pytest.raises(NotYet):
                await confirm_deletion(EVENT, after(world, minutes=minute, seconds=7))

    told = [line for line in lines if line["event"] == "erasure.confirmation_waits"]
    assert [line["seconds"] // 3600 for line in told] == [1, 2, 3]
    assert told[0]["waits_for"] == [WEBHOOK]
