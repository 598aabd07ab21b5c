"""F8: members of a group come and go every second while their handler is slow; nothing is lost, doubled or starved."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import confluent_kafka
import pytest
from faults.ledger import Tally
from faults.report import Figures
from harness import World, eventually
from msgspec.structs import replace
from receiving import REGISTRY, Desk, update
from wire import make_topics, native_client, with_consumer

from usercenter.config.model import Kafka
from usercenter.db import Database, Signal, Transaction
from usercenter.events import Event, UserUpdated, encode, headers_of, new_id
from usercenter.messaging.consumer import Consumer
from usercenter.messaging.groups import Context, Group, Schedule, record
from usercenter.messaging.router import Router

PROTOCOLS = {
    "eager": {"assignment_strategy": "roundrobin"},
    "cooperative": {"assignment_strategy": "cooperative-sticky"},
    "by the broker": {"group_protocol": "consumer"},
}
USERS = 30
MEMBERS = 3
BATCH_SECONDS = 0.2
LONGEST_SILENCE_SECONDS = 10.0


@pytest.mark.fault("F8")
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("storm_seconds", [4, pytest.param(60, marks=pytest.mark.long)])
async def test_a_storm_of_rebalances_loses_and_doubles_nothing_keeps_order_and_starves_no_partition(
    world: World, protocol: str, storm_seconds: int, figures: Figures
) -> None:
    await make_topics(world)
    kafka = with_consumer(world.config.kafka, batch_messages=50, auto_commit_interval_ms=200, **PROTOCOLS[protocol])
    async with a_desk(world) as desk:
        slow = SlowHandler()
        storm = Storm(desk, kafka, slow)
        users = [new_id() for _ in range(USERS)]
        sent = await storm.blow(users, seconds=storm_seconds)
        await eventually(
            lambda: world.count("effects"), lambda n: n >= len(sent), what=f"{len(sent)} effects", timeout_seconds=60
        )
        await storm.end()

        assert await world.value("select count(distinct event_id) from effects") == len(sent)
        assert await world.count("effects") == len(sent), "an effect came twice"
        assert await order_of_effects(world) == order_of(sent)
        assert await world.count("dead_letters") == await world.count("tasks") == 0
        assert storm.comings > storm_seconds // 2
        silences = slow.silences(partitions_of(kafka))
        assert len(silences) == 3
        assert max(silences.values()) < LONGEST_SILENCE_SECONDS, silences
        how = (
            f"a member comes and one goes each second for {storm_seconds} s, {protocol}; longest silence of a partition"
        )
        figures.note(how, tally=Tally(events=len(sent)), recoveries=[max(silences.values())])


class SlowHandler:
    """Notes each event in a table without any key, and takes its time."""

    def __init__(self) -> None:
        self._moments: dict[UUID, list[float]] = defaultdict(list)

    async def slow(self, events: Sequence[Event], tx: Transaction, context: Context) -> None:
        del context
        await tx.execute(
            "insert into effects (handler, event_id, user_id) select 'slow', e, u from unnest(%s::uuid[], %s::uuid[])"
            " with ordinality as t(e, u, n) order by n",
            ([event.id for event in events], [event.user_id for event in events]),
        )
        await Signal().wait(BATCH_SECONDS)
        for event in events:
            self._moments[event.user_id].append(time.monotonic())

    def silences(self, partitions: dict[bytes | None, int]) -> dict[int, float]:
        """The longest time without any effect, of each partition."""
        moments: dict[int, list[float]] = defaultdict(list)
        for user, times in self._moments.items():
            moments[partitions[str(user).encode()]] += times
        return {
            partition: max(b - a for a, b in zip(sorted(times), sorted(times)[1:], strict=False))
            for partition, times in moments.items()
        }


class Storm:
    """Members that come and go, and a producer that does not care."""

    def __init__(self, desk: Desk, kafka: Kafka, handler: SlowHandler) -> None:
        self._desk = desk
        self._kafka = kafka
        self._group = Group(kafka.group_id, "user_events", {UserUpdated: (record(handler.slow),)})
        self._members: list[Consumer] = []
        self._leaving: list[asyncio.Task[None]] = []
        self.comings = 0

    async def blow(self, users: Sequence[UUID], *, seconds: float) -> list[UserUpdated]:
        """Load, and each second a member that comes and one that goes; returns what was sent."""
        writing = asyncio.create_task(self._write(users, until=time.monotonic() + seconds))
        while not writing.done():
            self._come()
            if len(self._members) > MEMBERS:
                self._leaving.append(asyncio.create_task(self._members.pop(0).stop(timeout_seconds=10)))
            await asyncio.wait([writing], timeout=1)
        return await writing

    async def end(self) -> None:
        """All go."""
        await asyncio.gather(*self._leaving, *(member.stop(timeout_seconds=10) for member in self._members))

    def _come(self) -> None:
        router = Router(
            self._group,
            registry=REGISTRY,
            database=self._desk.database,
            context=self._desk.context,
            config=self._desk.config,
            schedule=Schedule(attempts=3, first_seconds=0.01, longest_seconds=0.02),
            metrics=self._desk.metrics,
        )
        member = Consumer(
            self._kafka,
            group=self._group.name,
            topic=self._kafka.topics.user_events,
            handle=router.handle,
            metrics=self._desk.metrics,
        )
        member.start()
        self._members.append(member)
        self.comings += 1

    async def _write(self, users: Sequence[UUID], *, until: float) -> list[UserUpdated]:
        producer = native_client(confluent_kafka.Producer, self._kafka, **{"enable.idempotence": True})
        sent: list[UserUpdated] = []
        while time.monotonic() < until:
            events = [update(user, sequence=len(sent) // len(users) + 1) for user in users]
            for event in events:
                producer.produce(
                    self._kafka.topics.user_events, encode(event), str(event.user_id), headers=headers_of(event)
                )
            sent += events
            await Signal().wait(0.1)
        assert await asyncio.to_thread(producer.flush, 10) == 0
        return sent


@asynccontextmanager
async def a_desk(world: World) -> AsyncIterator[Desk]:
    """A desk with a connection for each member, and some for those that are leaving."""
    database = Database(replace(world.config.database, pool_min=1, pool_max=12))
    await database.open()
    try:
        desk = Desk(world, database=database)
        await desk.open()
        yield desk
    finally:
        await database.close()


def order_of(events: Sequence[UserUpdated]) -> dict[UUID, list[UUID]]:
    """The events of each user in their order."""
    found: dict[UUID, list[UUID]] = defaultdict(list)
    for event in events:
        found[event.user_id].append(event.id)
    return found


async def order_of_effects(world: World) -> dict[UUID, list[UUID]]:
    rows = await world.rows("select user_id, array_agg(event_id order by n) from effects group by user_id")
    return {row[0]: row[1] for row in rows}


def partitions_of(kafka: Kafka) -> dict[bytes | None, int]:
    """Where each key lies."""
    consumer = native_client(confluent_kafka.Consumer, kafka, **{"group.id": "looking-on"})
    consumer.assign([confluent_kafka.TopicPartition(kafka.topics.user_events, number, 0) for number in range(3)])
    found: dict[bytes | None, int] = {}
    while len(found) < USERS:
        message = consumer.poll(10)
        assert message is not None
        found[message.key()] = message.partition() or 0
    consumer.close()
    return found
