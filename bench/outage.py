"""The broker goes away, 100,000 events come meanwhile, and it comes back.

The whole service in one process, with all its roles and groups. `PATCH /me` (a change of the user and its event in one
transaction) is timed with the broker there and with the broker gone and the outbox full. After the broker's return the
clock runs until Kafka has acknowledged all of these events, and until the group `usercenter` has handled them; beside
it the other groups work, and the relay sends what the handlers publish. At the end the topic is read back: each user's
events must be there, in order.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from statistics import quantiles
from typing import Any, Final

import confluent_kafka
import httpx
from confluent_kafka import TopicPartition
from msgspec.structs import replace

from bench import lives
from bench.counting import counted, until
from bench.ground import Ground
from bench.measure import Figure, Goal, Measure, WorkNotDone
from usercenter.bootstrap import Service, running
from usercenter.events.user_events import UserEvent
from usercenter.messaging import outbox
from usercenter.messaging.client import client_settings

_CALLS: Final = 300
_CALLS_A_SECOND: Final = 50
_AT_ONCE: Final = 1_000
_LOOK_EVERY_SECONDS: Final = 0.05
_PASSWORD: Final = "correct horse battery staple 7"  # noqa: S105  # of a made-up user


async def by_the_product(ground: Ground, number: int) -> dict[str, float]:
    """Before, during, after; then the proof."""
    kafka = ground.parts.kafka
    if kafka is None:
        raise WorkNotDone("the broker is not ours: it cannot be stopped")
    config = replace(ground.config, server=replace(ground.config.server, port=0, monitoring_port=0))
    brokers = kafka.brokers
    async with running(config) as service, httpx.AsyncClient(base_url=service.url, timeout=30) as client:
        await _settled(service)
        patch = await _a_user(client)
        before = await _timed(patch)
        await kafka.stop()
        try:
            events = await _fill(ground, number)
            during = await _timed(patch)
        finally:
            await kafka.start()
        if kafka.brokers != brokers:
            raise WorkNotDone(f"the broker came back as {kafka.brokers} instead of {brokers}")
        after = await _drained(service, ground, events)
    await _prove(ground, events)
    ratios = {"p50 during ÷ before": during[0] / before[0], "p99 during ÷ before": during[1] / before[1]}
    times = {"p50 before": before[0], "p50 during": during[0], "p99 before": before[1], "p99 during": during[1]}
    return times | ratios | after


async def _settled(service: Service) -> None:
    while not service.is_reading() or service.problems():  # noqa: ASYNC110  # nobody tells when all of it has begun
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


async def _a_user(client: httpx.AsyncClient) -> Callable[[int], Any]:
    """Register and log in; returns what changes this user's name."""
    body = {"username": "ana", "email": "ana@example.com", "password": _PASSWORD}
    (await client.post("/api/v1/users/register", json=body)).raise_for_status()
    login = {"username": "ana", "password": _PASSWORD}
    token = (await client.post("/api/v1/users/login", json=login)).raise_for_status().json()["token"]

    async def patch(number: int) -> None:
        change = {"first_name": f"Ana {number}"}
        answer = await client.patch("/api/v1/users/me", json=change, headers={"Authorization": f"Bearer {token}"})
        answer.raise_for_status()

    return patch


async def _timed(patch: Callable[[int], Any]) -> tuple[float, float]:
    """p50 and p99 in milliseconds, of calls one after the other at an even pace."""
    found = []
    start = time.perf_counter()
    for number in range(_CALLS):
        await asyncio.sleep(max(0.0, start + number / _CALLS_A_SECOND - time.perf_counter()))
        began = time.perf_counter()
        await patch(number)
        found.append((time.perf_counter() - began) * 1000)
    parts = quantiles(found, n=100, method="inclusive")
    return parts[49], parts[98]


async def _fill(ground: Ground, number: int) -> list[UserEvent]:
    events = lives.events(number)
    for start in range(0, number, _AT_ONCE):
        async with ground.database.transaction() as tx:
            await outbox.add(tx, *events[start : start + _AT_ONCE])
    await ground.settle()
    return events


async def _drained(service: Service, ground: Ground, events: list[UserEvent]) -> dict[str, float]:
    """From the moment when the broker answers again; what the service had counted before is left out."""
    number, began, topic = len(events), time.perf_counter(), ground.config.kafka.topics.user_events
    sent, read = {"topic": topic}, {"topic": topic, "group": ground.config.kafka.group_id}
    sent_before, read_before = counted(service.metrics.produced, sent), counted(service.metrics.consumed, read)
    await until(service.metrics.produced, sent, sent_before + number)
    sent_seconds = time.perf_counter() - began
    await until(service.metrics.consumed, read, read_before + number)
    # the calls and what came twice were counted as well
    while await _handled(ground, events) < number:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
    return {"sent/s": number / sent_seconds, "handled/s": number / (time.perf_counter() - began)}


async def _prove(ground: Ground, events: list[UserEvent]) -> None:
    wanted: dict[str, list[int]] = {}
    for event in events:
        wanted.setdefault(str(event.user_id), []).append(event.sequence or 0)
    found = await asyncio.to_thread(_sequences, ground)
    if any(found.get(user) != sequences for user, sequences in wanted.items()):
        raise WorkNotDone("the topic does not have every user's events, each once and in order")


async def _handled(ground: Ground, events: list[UserEvent]) -> int:
    """How many of these events are in the inbox of the group."""
    async with ground.database.transaction() as tx:
        row = await tx.fetch_one(
            "select count(*) from inbox where group_name = %s and event_id = any(%b)",
            (ground.config.kafka.group_id, [event.id for event in events]),
        )
    return int(row[0]) if row else 0


def _sequences(ground: Ground) -> dict[str, list[int]]:
    """By user, the sequences on the topic, from its beginning; a message that came twice counts once."""
    topic, kafka = ground.config.kafka.topics.user_events, ground.config.kafka
    settings = client_settings(kafka) | {"group.id": "bench", "enable.partition.eof": True}
    consumer = confluent_kafka.Consumer(settings)
    left = kafka.new_topics.partitions
    consumer.assign([TopicPartition(topic, each, 0) for each in range(left)])
    found: dict[str, dict[int, None]] = {}
    while left:
        for message in consumer.consume(1_000, 0.2):
            error = message.error()
            if error is not None:
                left -= error.code() == confluent_kafka.KafkaError._PARTITION_EOF  # noqa: SLF001  # a public constant
                continue
            headers: dict[str, Any] = dict(message.headers() or ())
            with suppress(KeyError):
                key = (message.key() or b"").decode()
                found.setdefault(key, {})[int(headers["ce_sequence"])] = None
    consumer.close()
    return {user: list(sequences) for user, sequences in found.items()}


def _less(name: str, unit: str = "ms") -> Figure:
    return Figure(name=name, unit=unit, is_more_better=False)


MEASURE: Final = Measure(
    name="outage",
    work="Kafka stopped, events committed meanwhile, Kafka back: PATCH /me during it, and the drain afterwards",
    events=100_000,
    rounds=1,
    patience_seconds=600,
    warm_up_share=0,
    figures=(
        _less("p50 before"),
        _less("p50 during"),
        _less("p99 before"),
        _less("p99 during"),
        _less("p50 during ÷ before", "×"),
        _less("p99 during ÷ before", "×"),
        Figure(name="sent/s", unit="events/s"),
        Figure(name="handled/s", unit="events/s"),
    ),
    contenders={"the product, all roles in one process": by_the_product},
    goals=(
        Goal(words="API latency during it ≤ 1.1 × before (p50)", figure="p50 during ÷ before", at_most=1.1),
        Goal(words="drained at ≥ 15 k/s end to end, order kept", figure="handled/s", at_least=15_000),
    ),
)
