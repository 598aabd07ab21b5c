"""Snapshots on a real broker: exact to the event, taken by one process of many, and honest when nobody can be asked."""

import asyncio
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import confluent_kafka
import pytest
from confluent_kafka import TopicPartition
from harness import World, eventually
from msgspec.structs import replace
from wire import make_topics, native_client

from usercenter import bootstrap
from usercenter.config.model import Config, Kafka
from usercenter.messaging import snapshots
from usercenter.messaging.lags import GroupLag
from usercenter.messaging.snapshots import Snapshot, Snapshots
from usercenter.metrics import Metrics

BEFORE = datetime.now(UTC).replace(microsecond=123_000) - timedelta(hours=1)
WRITTEN, READ = 10, 4


class Watcher:
    """The snapshots of one process, with its metrics."""

    def __init__(self, world: World, config: Config | None = None) -> None:
        config = config or world.config
        _, self.groups = bootstrap.reactions_of(config)
        self.metrics = Metrics()
        self.snapshots = Snapshots(config.kafka, database=world.database, groups=self.groups, metrics=self.metrics)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
async def watcher(world: World) -> AsyncIterator[Watcher]:
    """A topic with ten records in its first partition, of which the group has read four."""
    await make_topics(world)
    await asyncio.to_thread(_write_and_read, world.config.kafka)
    watcher = Watcher(world)
    yield watcher
    await watcher.snapshots.close()


def _write_and_read(kafka: Kafka) -> None:
    producer = native_client(confluent_kafka.Producer, kafka)
    for number in range(WRITTEN):
        moment = (BEFORE + timedelta(minutes=number)).isoformat()
        producer.produce(kafka.topics.user_events, b"{}", partition=0, headers={"ce_time": moment})
    assert producer.flush(10) == 0
    commit(kafka, READ)


def commit(kafka: Kafka, offset: int) -> None:
    consumer = native_client(confluent_kafka.Consumer, kafka, **{"group.id": kafka.group_id})
    consumer.commit(offsets=[TopicPartition(kafka.topics.user_events, 0, offset)], asynchronous=False)
    consumer.close()


async def the_latest(world: World) -> Snapshot:
    async with world.database.transaction() as tx:
        found = await snapshots.latest(tx)
    assert found is not None
    return found


async def make_old(world: World) -> None:
    """So that the next look is due."""
    async with world.database.transaction() as tx:
        await tx.execute("update snapshots set taken_at = taken_at - interval '5 seconds'")


async def test_a_group_is_behind_since_the_very_event_that_it_has_not_handled(world: World, watcher: Watcher) -> None:
    async def look() -> GroupLag | None:
        await make_old(world)
        assert await watcher.snapshots.turn()
        groups = {each.name: each for each in (await the_latest(world)).groups or ()}
        return groups.get(world.config.kafka.group_id)

    group = await eventually(look, lambda found: found and found.oldest_unread_at, what="the moment of the record")
    assert group is not None
    assert (group.topic, group.lag) == (world.config.kafka.topics.user_events, WRITTEN - READ)
    assert [(each.partition, each.committed, each.next) for each in group.places if each.lag] == [(0, READ, WRITTEN)]
    assert group.oldest_unread_at == BEFORE + timedelta(minutes=READ)

    labels = {"group": group.name}
    behind = watcher.value("usercenter_group_behind_seconds", **labels)
    assert behind == pytest.approx((datetime.now(UTC) - BEFORE).total_seconds() - 60 * READ, abs=30)
    assert watcher.value("usercenter_group_lag_messages", **labels, topic=group.topic) == WRITTEN - READ
    assert watcher.value("usercenter_group_drain_seconds", **labels) == math.inf


async def test_a_group_that_has_read_all_is_behind_by_nothing(world: World, watcher: Watcher) -> None:
    await asyncio.to_thread(commit, world.config.kafka, WRITTEN)
    await watcher.snapshots.turn()
    labels = {"group": world.config.kafka.group_id}
    assert watcher.value("usercenter_group_behind_seconds", **labels) == 0
    assert watcher.value("usercenter_group_drain_seconds", **labels) == 0


async def test_one_process_of_many_takes_it_and_all_show_it(world: World, watcher: Watcher) -> None:
    other = Watcher(world)
    turns = await asyncio.gather(watcher.snapshots.turn(), other.snapshots.turn())
    await other.snapshots.turn()
    await watcher.snapshots.turn()

    assert sorted(turns) == [False, True]
    assert await world.count("snapshots") == 1
    labels = {"group": world.config.kafka.group_id, "topic": world.config.kafka.topics.user_events}
    for each in (watcher, other):
        assert each.value("usercenter_group_lag_messages", **labels) == WRITTEN - READ


async def test_a_process_that_died_in_its_turn_holds_nobody_up(world: World, watcher: Watcher) -> None:
    async with world.database.transaction() as tx:
        await tx.execute("insert into snapshots (kind, taken_at) values ('levels', clock_timestamp())")
    assert not await watcher.snapshots.turn()
    await make_old(world)
    assert await watcher.snapshots.turn()


async def test_a_lag_that_shrinks_has_an_end(world: World, watcher: Watcher) -> None:
    await watcher.snapshots.turn()
    await asyncio.to_thread(commit, world.config.kafka, READ + 2)
    async with world.database.transaction() as tx:  # ten seconds ago
        await tx.execute(
            "update snapshots set taken_at = taken_at - interval '10 seconds', body = jsonb_set(body::jsonb,"
            " '{taken_at}', to_jsonb(taken_at - interval '10 seconds'))::json"
        )
    await watcher.snapshots.turn()

    async with world.database.transaction() as tx:
        first, last = await snapshots.recent(tx, seconds=60)
    seconds = (last.taken_at - first.taken_at).total_seconds()
    assert seconds >= 10
    drain = watcher.value("usercenter_group_drain_seconds", group=world.config.kafka.group_id)
    assert drain == pytest.approx(seconds * 4 / 2)  # two were read, four are left


async def test_a_handler_is_behind_since_the_event_of_its_oldest_task(world: World, watcher: Watcher) -> None:
    handler = next(each.name for group in watcher.groups for each in group.all_handlers())
    async with world.database.transaction() as tx:
        for lane, moment in (("", BEFORE + timedelta(minutes=5)), ("/one", BEFORE)):
            await tx.execute(
                "insert into tasks (handler, user_id, event_id, event_type, shard, payload, group_name, topic,"
                " kafka_partition, kafka_offset, occurred_at) values (%s, %s, %s, 'x', 0, '', 'g', 't', 0, 0, %s)",
                (handler + lane, uuid4(), uuid4(), moment),
            )
    await watcher.snapshots.turn()

    assert (await the_latest(world)).handlers == {handler: BEFORE}
    behind = watcher.value("usercenter_handler_behind_seconds", handler=handler)
    assert behind == pytest.approx((datetime.now(UTC) - BEFORE).total_seconds(), abs=30)


async def test_without_a_broker_the_rest_is_known_and_the_groups_grow_older(world: World, watcher: Watcher) -> None:
    away = replace(world.config, kafka=replace(world.config.kafka, brokers=["127.0.0.1:1"]))
    await watcher.snapshots.turn()
    seen = watcher.value("usercenter_snapshot_timestamp_seconds")
    await make_old(world)
    lonely = Watcher(world, away)
    assert await lonely.snapshots.turn()

    assert (await the_latest(world)).groups is None
    assert lonely.value("usercenter_snapshot_timestamp_seconds") == seen
    await lonely.snapshots.close()
