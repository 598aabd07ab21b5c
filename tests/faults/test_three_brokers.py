"""Three brokers, three replicas, two must have a record: one may die, and with two away nothing counts as sent."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace as with_parts
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
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
@pytest.mark.long
@pytest.mark.parametrize("kills", [1, 12])
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
        tally = await check(world, file, timeout_seconds=90)
    assert (tally.fail, tally.unknown) == (0, 0), "the API does not wait for Kafka"
    figures.note(
        "the leader of a partition is killed and started again", kills=kills, tally=tally, recoveries=recoveries
    )


@asynccontextmanager
async def killed(members: Sequence[Kafka]) -> AsyncIterator[None]:
    """SIGKILL, and started again."""
    await asyncio.gather(*(member.kill() for member in members))
    try:
        yield
    finally:
        await asyncio.gather(*(member.start() for member in members))


@asynccontextmanager
async def frozen(members: Sequence[Kafka]) -> AsyncIterator[None]:
    """SIGSTOP, and SIGCONT: spares the start of two brokers."""
    for member in members:
        member.freeze()
    try:
        yield
    finally:
        for member in members:
            member.thaw()


@pytest.mark.fault("three brokers")
@pytest.mark.long
@pytest.mark.parametrize(("outage", "seconds"), [(frozen, 4), (killed, 60)])
async def test_with_two_of_three_brokers_away_the_api_goes_on_and_nothing_counts_as_sent(
    world: World,
    clients: Callable[..., Clients],
    *,
    file: Path,
    figures: Figures,
    outage: Callable[..., AbstractAsyncContextManager[None]],
    seconds: int,
) -> None:
    async with crew(world, "api,relay,worker", config=unhurried(world.config)) as processes:
        load = clients(processes.doors, **LOAD)
        async with load.at_work():
            await published(world, more=20)
            async with outage(cluster_of(world).members[:2]):
                began_at = await world.value("select clock_timestamp()")
                await committed(world, more=10)
                await Signal().wait(seconds)
                waiting, made = await waiting_since(world, began_at)
            recovered = await seconds_until_sent(world)
        tally = await check(world, file, timeout_seconds=90)
    assert made >= 10, "the API goes on"
    assert waiting == made, "a message counts as sent that only one broker has"
    assert (tally.fail, tally.unknown) == (0, 0), "the API does not wait for Kafka"
    how = f"two of three brokers are {outage.__name__} and away for {seconds} s; recovery since both are back"
    figures.note(how, kills=2, tally=tally, recoveries=[recovered])


@pytest.mark.long
async def test_too_few_replicas_in_sync_are_said_and_the_events_wait_until_there_are_enough(world: World) -> None:
    strict = replace(world.config.kafka.new_topics, replication_factor=3, min_insync_replicas=3)
    await asyncio.to_thread(topics.create_missing, replace(world.config.kafka, new_topics=strict))
    async with posting(world) as post:
        broker = cluster_of(world).members[0]
        await broker.kill()
        await add_raw(world, raw("a", b"waits"))
        (told,) = await eventually(  # a message to the broker that is gone may time out before
            lambda: [each for each in post.troubles() if "too few replicas are in sync (NOT_ENOUGH_REPLICAS" in each],
            what="the word of the brokers that are left",
            timeout_seconds=90,
        )
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
    metadata = AdminClient(settings).list_topics(topic, timeout=10)
    leader = metadata.topics[topic].partitions[partition].leader
    return next(member for member in cluster_of(world).members if member.node_id == leader)


async def committed(world: World, *, more: int) -> None:
    """Wait until so many more events are committed, wherever they are."""
    before = await world.count("event_log")
    await eventually(lambda: world.count("event_log"), lambda number: number >= before + more, what="more events")


async def waiting_since(world: World, moment: object) -> tuple[int, int]:
    """How many of the events committed since then wait in the outbox, and how many there are."""
    query = (
        "select count(*) filter (where id in (select id from outbox)), count(*) from event_log where created_at > %s"
    )
    waiting, made = (await world.rows(query, moment))[0]
    return waiting, made


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
        timeout_seconds=90,
    )
    return time.monotonic() - began
