"""Waiting until nothing is under way any more: not in the outbox, not on Kafka, not among the tasks."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import confluent_kafka
from confluent_kafka import OFFSET_INVALID, TopicPartition
from harness import World, eventually

from usercenter.db import DatabaseUnavailable
from usercenter.handlers import groups
from usercenter.messaging.client import topics_by_stream


class UnderWay(NamedTuple):
    """What is not finished, and how far the topics reach; two equal looks at nothing mean that all is done."""

    outbox: int
    tasks: int
    lag: int
    ends: tuple[int, ...]

    @property
    def is_nothing(self) -> bool:
        return not (self.outbox or self.tasks or self.lag)


async def settled(world: World, *, tasks: int = 0, timeout_seconds: float = 60) -> None:
    """Wait until everything is done, except for so many tasks that the test wants to remain."""
    with _offsets(world) as offsets:
        before: list[UnderWay] = []

        async def look() -> UnderWay | str:
            try:
                seen = await _look(world, offsets, tasks)
            except (confluent_kafka.KafkaException, DatabaseUnavailable) as error:
                return str(error)  # it has just come back: not every part of it answers yet
            is_same = before == [seen]
            before[:] = [seen]
            return seen if is_same else f"{seen} (a moment ago another)"

        await eventually(
            look,
            lambda seen: isinstance(seen, UnderWay) and seen.is_nothing,
            what="the end of all that is under way",
            timeout_seconds=timeout_seconds,
        )


async def _look(world: World, offsets: "Offsets", tasks: int) -> UnderWay:
    ends, lag = await asyncio.to_thread(offsets.look)
    rows = await world.rows("select (select count(*) from outbox), (select count(*) from tasks)")
    return UnderWay(rows[0][0], rows[0][1] - tasks, lag, ends)


@contextmanager
def _offsets(world: World) -> Iterator["Offsets"]:
    offsets = Offsets(world)
    try:
        yield offsets
    finally:
        offsets.close()


class Offsets:
    """Looks at what the groups have committed, without being a member of them. Blocks for moments."""

    def __init__(self, world: World) -> None:
        self._consumers = []
        topics = topics_by_stream(world.config.kafka)
        for group in groups(world.config.kafka):
            settings = {"bootstrap.servers": ",".join(world.config.kafka.brokers), "group.id": group.name}
            self._consumers.append((confluent_kafka.Consumer(settings), topics[group.stream]))

    def look(self) -> tuple[tuple[int, ...], int]:
        """The ends of all partitions of each group's topic, and how many messages the groups have before them."""
        ends: list[int] = []
        lag = 0
        for consumer, topic in self._consumers:
            found = consumer.list_topics(topic, timeout=10).topics[topic].partitions or {}
            for committed in consumer.committed([TopicPartition(topic, number) for number in found], timeout=10):
                low, end = consumer.get_watermark_offsets(committed, timeout=10)
                ends.append(end)
                lag += end - (low if committed.offset == OFFSET_INVALID else committed.offset)
        return tuple(ends), lag

    def close(self) -> None:
        """Let the clients go."""
        for consumer, _ in self._consumers:
            consumer.close()
