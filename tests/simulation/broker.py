"""A broker in memory: partitions, acknowledgements that get lost, and groups whose members read what they have seen."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, cast
from zlib import crc32

import confluent_kafka
from simulation.loop import OWNER

from usercenter.messaging.batch import Received
from usercenter.messaging.producer import Producer, Receipt

PARTITIONS = 2
_TIMED_OUT = confluent_kafka.KafkaError(confluent_kafka.KafkaError._MSG_TIMED_OUT)  # the library's public constant


class Broker:
    """Keeps every message; what it says about them may be lost."""

    def __init__(self, random: Random) -> None:
        self.logs: dict[tuple[str, int], list[Received]] = defaultdict(list)
        self.committed: dict[tuple[str, str, int], int] = defaultdict(int)
        self.is_down = False
        self.lost_answers = 0
        """So many of the next messages are kept, and reported as failed."""
        self.refusals = 0
        """So many of the next messages are not kept, and reported as failed."""
        self.random = random

    def topic(self, name: str) -> list[Received]:
        """All messages of a topic, partition by partition."""
        return [message for (topic, _), log in sorted(self.logs.items()) if topic == name for message in log]

    def keep(self, topic: str, key: str, value: bytes, headers: Mapping[str, str]) -> tuple[int, int]:
        """Append it; returns partition and offset."""
        partition = crc32(key.encode()) % PARTITIONS
        log = self.logs[topic, partition]
        log.append(Received(topic, partition, len(log), key.encode(), value, dict(headers)))
        return partition, len(log) - 1

    def producer(self, _: Any, *, on_receipts: Callable[[list[Receipt]], None], is_single: bool = False) -> Producer:
        """What a relay sends with."""
        del is_single
        return cast("Producer", SimulatedProducer(self, on_receipts))


class SimulatedProducer:
    """Sends each message by a task of its own: the way to the broker takes what it takes, and so does the answer."""

    def __init__(self, broker: Broker, on_receipts: Callable[[list[Receipt]], None]) -> None:
        self._broker = broker
        self._on_receipts = on_receipts
        self._process = OWNER.get()
        self._on_their_way: set[asyncio.Task[None]] = set()

    def send(self, token: Any, *, topic: str, key: str, value: bytes, headers: Mapping[str, str]) -> bool:
        sending = asyncio.create_task(self._send(token, topic, key, value, headers))
        self._on_their_way.add(sending)
        sending.add_done_callback(self._on_their_way.discard)
        return True

    async def close(self, *, timeout_seconds: float) -> None:
        if self._on_their_way:
            await asyncio.wait(self._on_their_way, timeout=timeout_seconds)

    async def _send(self, token: Any, topic: str, key: str, value: bytes, headers: Mapping[str, str]) -> None:
        broker = self._broker
        await asyncio.sleep(broker.random.uniform(0, 0.02))
        await self._process.may_go_on()
        if broker.is_down or broker.refusals > 0:
            broker.refusals -= not broker.is_down
            await asyncio.sleep(broker.random.uniform(0, 0.5))
            self._on_receipts([(token, _TIMED_OUT, None, None)])
            return
        place = broker.keep(topic, key, value, headers)
        await asyncio.sleep(broker.random.uniform(0, 0.02))
        await self._process.may_go_on()
        if broker.lost_answers > 0:
            broker.lost_answers -= 1
            self._on_receipts([(token, _TIMED_OUT, None, None)])
        else:
            self._on_receipts([(token, None, *place)])
