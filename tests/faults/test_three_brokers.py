"""Three brokers, three replicas, two must have a record: one may die, and with two away nothing counts as sent."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace as with_parts
from pathlib import Path

import confluent_kafka
import pytest
from faults.crew import crew
from faults.ledger import check
from faults.load import Clients
from faults.report import Figures
from harness import World, eventually
from msgspec.structs import replace
from wire import add_raw, posting, raw

from usercenter.config.model import Config, Embedded, EmbeddedKafka
from usercenter.db import Signal
from usercenter.embedded.kafka import Kafka
from usercenter.embedded.kafka_cluster import KafkaCluster
from usercenter.embedded.parts import Running, running
from usercenter.messaging import topics

LOAD = {"clerks": 2, "pause_seconds": 0.05}


@pytest.fixture(scope="module")
async def parts(parts: Running, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """The parts that all tests share, but for Kafka: three brokers of their own."""
    folder = str(tmp_path_factory.mktemp("three-brokers"))
    config = replace(
        parts.config,
        kafka=replace(parts.config.kafka, brokers=[]),
        embedded=Embedded(is_enabled=True, data_dir=folder, kafka=EmbeddedKafka(brokers=3)),
    )
    async with running(config, announce=print) as three:
        yield with_parts(parts, config=three.config, kafka=three.kafka)


@pytest.mark.fault("three brokers")
@pytest.mark.parametrize("kills", [1, pytest.param(12, marks=pytest.mark.long)])
async def test_a_leader_killed_under_load_loses_nothing_and_another_takes_over_in_seconds(
    world: World, clients: Callable[..., Clients], file: Path, figures: Figures, kills: int
) -> None:
    recoveries = []
    async with crew(world, "api,relay,worker", config=unhurried(world.config)) as processes:
        load = clients(processes.doors, **LOAD)
        async with load.at_work():
            for _ in range(kills):
                await published(world, more=20)
                leader = await asyncio.to_thread(leader_of, world, partition=0)
                await leader.kill()
                recoveries.append(await seconds_until_sent(world))
                await leader.start()
        tally = await check(world, file)
    assert (tally.fail, tally.unknown) == (0, 0), "the API does not wait for Kafka"
    figures.note(
        "the leader of a partition is killed and started again", kills=kills, tally=tally, recoveries=recoveries
    )


@pytest.mark.fault("three brokers")
@pytest.mark.parametrize("away_seconds", [4, pytest.param(60, marks=pytest.mark.long)])
async def test_with_two_of_three_brokers_away_the_api_goes_on_and_nothing_counts_as_sent(
    world: World, clients: Callable[..., Clients], file: Path, figures: Figures, away_seconds: int
) -> None:
    cluster = cluster_of(world)
    async with crew(world, "api,relay,worker", config=unhurried(world.config)) as processes:
        load = clients(processes.doors, **LOAD)
        async with load.at_work():
            await published(world, more=20)
            await asyncio.gather(*(member.kill() for member in cluster.members[:2]))
            killed_at = await world.value("select clock_timestamp()")
            await Signal().wait(away_seconds)
            waiting, committed = (
                await world.rows(
                    "select count(*) filter (where id in (select id from outbox)), count(*) from event_log "
                    "where created_at > %s",
                    killed_at,
                )
            )[0]
            assert committed > away_seconds, "the API goes on"
            assert waiting == committed, "a message counts as sent that only one broker has"
            await cluster.start()
            recovered = await seconds_until_sent(world)
        tally = await check(world, file)
    assert (tally.fail, tally.unknown) == (0, 0), "the API does not wait for Kafka"
    how = f"two of three brokers are killed and away for {away_seconds} s; recovery since both are back"
    figures.note(how, kills=2, tally=tally, recoveries=[recovered])


async def test_too_few_replicas_in_sync_are_said_and_the_events_wait_until_there_are_enough(world: World) -> None:
    strict = replace(world.config.kafka.new_topics, replication_factor=3, min_insync_replicas=3)
    await asyncio.to_thread(topics.create_missing, replace(world.config.kafka, new_topics=strict))
    async with posting(world) as post:
        broker = cluster_of(world).members[0]
        await broker.kill()
        await add_raw(world, raw("a", b"waits"))
        (told,) = await eventually(post.troubles, what="a trouble")
        assert "too few replicas are in sync (NOT_ENOUGH_REPLICAS" in told
        assert "docs/errors/send-failed.md" in told
        assert await world.count("outbox") == 1
        await broker.start()
        await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="an empty outbox")
        await eventually(lambda: post.troubles() == [], what="the end of it")


def unhurried(config: Config) -> Config:
    """No process dies here: with leases as long as usual a busy machine takes none away, and no mail comes twice."""
    return replace(config, relay=replace(config.relay, lease_seconds=15), tasks=replace(config.tasks, lease_seconds=15))


def cluster_of(world: World) -> KafkaCluster:
    assert world.parts.kafka is not None
    return world.parts.kafka


def leader_of(world: World, *, partition: int) -> Kafka:
    """The broker that leads this partition of user.events."""
    settings = {"bootstrap.servers": ",".join(world.config.kafka.brokers), "log_level": 0}
    topic = world.config.kafka.topics.user_events
    metadata = confluent_kafka.admin.AdminClient(settings).list_topics(topic, timeout=10)
    leader = metadata.topics[topic].partitions[partition].leader
    return next(member for member in cluster_of(world).members if member.node_id == leader)


async def published(world: World, *, more: int) -> None:
    """Wait until so many more events are committed and on Kafka."""
    before = await world.count("event_log")
    await eventually(
        lambda: world.value("select count(*) from event_log where id not in (select id from outbox)"),
        lambda number: number >= before + more,
        what=f"{more} more events",
    )


async def seconds_until_sent(world: World) -> float:
    """How long it takes until nothing is in the outbox any more that is there now."""
    began = time.monotonic()
    last = await world.value("select coalesce(max(position), 0) from outbox")
    await eventually(
        lambda: world.value("select count(*) from outbox where position <= %s", last),
        lambda number: number == 0,
        what="an outbox without what was there",
    )
    return time.monotonic() - began
