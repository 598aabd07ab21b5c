"""F13: retention deletes records before they are read: seen and counted, known to `verify`, repaired by a replay."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from faults.journal import operations
from faults.ledger import Books, Event, effects
from faults.load import Clients
from faults.report import Figures
from faults.settling import settled
from faults.test_poison import sample
from harness import World, eventually

from usercenter.events import EVENTS, Registry
from usercenter.handlers import groups
from usercenter.messaging import topics
from usercenter.messaging.operations import positions
from usercenter.messaging.operations.report import Report
from usercenter.messaging.operations.verify import verify

HABITS = {"clerks": 2, "accounts": 99, "delete": 0, "status": 0}
"""Nobody is deleted: what is replayed of an erased user says nothing, and is not counted."""


@pytest.mark.fault("F13")
async def test_records_deleted_before_they_were_read_are_seen_counted_and_brought_back(
    world: World, clients: Callable[..., Clients], file: Path, figures: Figures
) -> None:
    urls: list[str] = []
    load = clients(lambda: urls, **HABITS)
    readers = [group.name for group in groups(world.config.kafka) if group.stream == "user_events"]
    async with world.service() as (service, _):
        await eventually(service.is_reading, what="the consumers")
        urls[:] = [service.url]
        await load.work(10)
        await settled(world)
    async with world.service(roles=["api", "relay"]) as (service, _):
        urls[:] = [service.url]
        await load.work(30)
        await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="an empty outbox")
        deleted = await asyncio.to_thread(delete_half, world)
        assert deleted > 0
    async with world.service() as (service, _):
        urls[:] = [service.url]
        for reader in readers:
            await eventually(
                lambda reader=reader: sample(service.metrics, "usercenter_records_lost_total", group=reader),  # type: ignore[misc]
                lambda number: number == deleted,
                what=f"the loss of {deleted} records of {reader}",
            )
        await load.work(10)  # what comes afterwards is handled
        await settled(world)
        report = await verified(world)
        assert {book.group: book.missing for book in report.books if book.group in readers} == dict.fromkeys(
            readers, deleted
        )
        for reader in readers:
            status, said = await world.command("replay", "--missing", "--group", reader, "--yes")
            assert status == 0, said
        await settled(world)
        assert [finding.what for finding in (await verified(world)).findings] == []

    books = await the_log(world, file)
    assert await effects(world, books) == []
    tally = books.tally()
    figures.note(
        f"{deleted} records are deleted before {len(readers)} groups have read them, and replayed", tally=tally
    )


def delete_half(world: World) -> int:
    """Delete what lies unread in each partition of user.events, but for the last record; returns how many went."""
    topic = world.config.kafka.topics.user_events
    before = topics.describe(world.config.kafka, topic).partitions
    read = positions.committed(world.config.kafka, group=world.config.kafka.group_id, topic=topic)
    wanted = [TopicPartition(topic, each.partition, max(0, each.next_offset - 1)) for each in before]
    admin = AdminClient({"bootstrap.servers": ",".join(world.config.kafka.brokers)})
    for future in admin.delete_records(wanted).values():
        future.result(10)
    return sum(max(0, each.offset - read[each.partition]) for each in wanted)


async def verified(world: World) -> Report:
    return await verify(
        world.config, database=world.database, groups=groups(world.config.kafka), registry=Registry(EVENTS)
    )


async def the_log(world: World, file: Path) -> Books:
    """The books without Kafka, which has not all of it any more."""
    rows = await world.rows("select id::text, user_id::text, sequence, type, payload from event_log order by 2, 3")
    mails = [mail.message_id for mail in world.mails()]
    return Books(operations(file), [Event(*row) for row in rows], {"user_events": []}, mails)
