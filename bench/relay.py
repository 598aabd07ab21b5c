"""From the outbox to Kafka: acknowledged by all in-sync replicas, and deleted.

The product's relay keeps each user's order through every failure, owns its shards by lease, counts and logs. The bare
loop does none of that: select, produce, flush, delete. Two clients without a database say what Kafka itself could take.
All have the same producer settings.
"""

import asyncio
import time
from contextlib import suppress
from typing import Final

import confluent_kafka
import psycopg

from bench import clients, traffic
from bench.counting import until
from bench.ground import Ground
from bench.measure import Goal, Measure, WorkNotDone, rate
from usercenter.messaging import outbox
from usercenter.messaging.client import topics_by_stream
from usercenter.messaging.leases import Leases
from usercenter.messaging.producer import producer_settings
from usercenter.messaging.relay import Relay
from usercenter.metrics import Metrics

_AT_ONCE: Final = 1_000


async def by_the_product(ground: Ground, number: int) -> dict[str, float]:
    """The product's own relay, alone on its shards, until it has counted every message as delivered and deleted."""
    await _fill(ground, number)
    metrics = Metrics()
    leases = Leases(
        "relay",
        database=ground.database,
        clock=ground.clock,
        metrics=metrics,
        lease_seconds=ground.config.relay.lease_seconds,
    )
    relay = Relay(
        ground.config,
        database=ground.database,
        leases=leases,
        topics=topics_by_stream(ground.config.kafka),
        clock=ground.clock,
        metrics=metrics,
    )
    await leases.beat()
    heartbeat = asyncio.create_task(leases.keep())
    began = time.perf_counter()
    work = asyncio.create_task(relay.run())
    delivered = asyncio.create_task(until(metrics.produced, {}, number))
    await asyncio.wait({delivered, work}, return_when=asyncio.FIRST_COMPLETED)
    seconds = time.perf_counter() - began
    await _end(delivered, work, heartbeat)
    await relay.close(timeout_seconds=10)
    await _prove(ground, number)
    return rate(number, seconds)


async def by_a_bare_loop(ground: Ground, number: int) -> dict[str, float]:
    """What one writes first: no order after a failure, no second relay, no counting."""
    await _fill(ground, number)
    seconds = await asyncio.to_thread(_loop, ground)
    await _prove(ground, number)
    return rate(number, seconds)


MEASURE: Final = Measure(
    name="relay",
    work="outbox → acknowledged by Kafka → deleted; four events of each user",
    events=100_000,
    contenders={
        "the product's relay": by_the_product,
        "bare loop": by_a_bare_loop,
        "confluent-kafka, no database": clients.by_confluent,
        "aiokafka, no database": clients.by_aiokafka,
    },
    goals=(
        Goal(words="≥ 0.8 of the bare loop", figure="events/s", against="bare loop", at_least=0.8),
        Goal(words="≥ 40 k/s", figure="events/s", at_least=40_000),
    ),
)


async def _fill(ground: Ground, number: int) -> None:
    events = traffic.events(number)
    for start in range(0, number, _AT_ONCE):
        async with ground.database.transaction() as tx:
            await outbox.add(tx, *events[start : start + _AT_ONCE])
    await ground.settle()


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Cancel them; what one of them raised before is raised here."""
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _loop(ground: Ground) -> float:
    topics = topics_by_stream(ground.config.kafka)
    producer = confluent_kafka.Producer(producer_settings(ground.config.kafka))
    with psycopg.connect(ground.config.database.url) as connection:
        began = time.perf_counter()
        while rows := connection.execute(_SELECT, (_AT_ONCE,)).fetchall():
            for _, stream, key, payload, headers in rows:
                producer.produce(topics[stream], payload, key, headers=list(headers.items()))
            if left := producer.flush(30):
                raise WorkNotDone(f"{left} messages were not acknowledged")
            connection.execute("delete from outbox where position = any(%s)", ([row[0] for row in rows],))
            connection.commit()
        return time.perf_counter() - began


async def _prove(ground: Ground, number: int) -> None:
    left, sent = await ground.count("outbox"), await ground.sent()
    if left or sent != number:
        raise WorkNotDone(f"{left} rows are left in the outbox, {sent} of {number} messages are on the topic")


_SELECT: Final = """
select position, aggregatetype, aggregateid, payload, headers from outbox order by position limit %s
"""
