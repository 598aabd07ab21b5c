"""How long after its commit an event has its effect, at three rates.

The product's relay, consumer and task runner in one process, each event committed in a transaction of its own at its
moment, whether or not the earlier ones are through. A record handler's effect is there with the commit of its batch;
an outside handler's when it is called. Raw is a message from `produce` to `poll`, with the same client settings and
nothing else.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from statistics import quantiles
from typing import Any, Final
from uuid import UUID

import confluent_kafka

from bench.ground import Ground
from bench.measure import Figure, Goal, Measure, WorkNotDone
from bench.reactions import AtWork, at_work
from bench.traffic import registrations
from usercenter.db import Transaction
from usercenter.events import UserRegistered, encode, headers_of
from usercenter.handlers.settings import create_settings
from usercenter.messaging import outbox
from usercenter.messaging.client import consumer_settings
from usercenter.messaging.groups import Context, Group, Handler, outside, record
from usercenter.messaging.producer import producer_settings

_RATES: Final = (50, 200, 500)
_SIGNAL: Final = "bench.effect"
_LOOK_EVERY_SECONDS: Final = 0.02

Send = Callable[[UserRegistered], Coroutine[Any, Any, None]]


class _Stamps:
    """When each event began, and when its effect was there."""

    def __init__(self) -> None:
        self.began: dict[UUID, float] = {}
        self.ended: dict[UUID, float] = {}
        self.noted: list[UUID] = []
        """Those of a batch that is not committed yet."""

    def begin(self, id_: UUID) -> None:
        self.began[id_] = time.perf_counter()

    def end(self, id_: UUID) -> None:
        self.ended.setdefault(id_, time.perf_counter())

    async def all_ended(self) -> None:
        while len(self.ended) < len(self.began):  # noqa: ASYNC110  # ends come from several threads
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    def milliseconds(self) -> list[float]:
        return [(self.ended[id_] - began) * 1000 for id_, began in self.began.items()]

    def clear(self) -> None:
        self.began.clear()
        self.ended.clear()


async def of_a_record_handler(ground: Ground, number: int) -> dict[str, float]:
    """Settings are created; the effect is there when the batch is committed."""
    stamps = _Stamps()

    async def create_and_note(events: Sequence[UserRegistered], tx: Transaction, context: Context) -> None:
        await create_settings(events, tx, context)
        stamps.noted += [event.id for event in events]
        tx.wake_after_commit(_SIGNAL)

    async def stamp(post: AtWork) -> None:
        signal = post.database.signal(_SIGNAL)
        while True:
            await signal.wait(60)
            noted, stamps.noted = stamps.noted, []
            for id_ in noted:
                stamps.end(id_)

    async with at_work(ground, [_group(ground, record(create_and_note))]) as post:
        stamping = asyncio.create_task(stamp(post))
        try:
            figures = await _through(post, number, stamps)
        finally:
            stamping.cancel()
    return figures


async def of_an_outside_handler(ground: Ground, number: int) -> dict[str, float]:
    """A call of the world, which takes no time."""
    stamps = _Stamps()

    async def call_the_world(event: UserRegistered, context: Context) -> None:
        del context
        stamps.end(event.id)

    async with at_work(ground, [_group(ground, outside(call_the_world))]) as post:
        return await _through(post, number, stamps)


async def raw(ground: Ground, number: int) -> dict[str, float]:
    """confluent-kafka alone: a thread polls for messages, the loop hands them over."""
    stamps, config, stopping, ready = _Stamps(), ground.config, threading.Event(), threading.Event()
    producer = confluent_kafka.Producer(producer_settings(config.kafka))
    topic = config.kafka.topics.user_events

    def receive() -> None:
        consumer = confluent_kafka.Consumer(consumer_settings(config.kafka, config.kafka.group_id))
        consumer.subscribe([topic], on_assign=lambda *_: ready.set())
        while not stopping.is_set():
            message = consumer.poll(0.1)
            if message is not None and not message.error():
                stamps.end(UUID(dict(message.headers() or ())["ce_id"].decode()))  # type: ignore[union-attr]
        consumer.close()

    async def send(event: UserRegistered) -> None:
        value, headers = encode(event), headers_of(event)
        stamps.begin(event.id)
        producer.produce(topic, value, str(event.user_id), headers=list(headers.items()))
        producer.poll(0)

    receiving = asyncio.create_task(asyncio.to_thread(receive))
    await asyncio.to_thread(ready.wait, 30)
    try:
        return await _at_all_rates(send, number, stamps)
    finally:
        stopping.set()
        await receiving
        await asyncio.to_thread(producer.flush, 10)


def _group(ground: Ground, handler: Handler) -> Group:
    return Group(ground.config.kafka.group_id, "user_events", {UserRegistered: (handler,)})


async def _through(post: AtWork, number: int, stamps: _Stamps) -> dict[str, float]:
    async def send(event: UserRegistered) -> None:
        async with post.database.transaction() as tx:
            await outbox.add(tx, event)
        stamps.begin(event.id)

    while not post.post.is_reading():  # noqa: ASYNC110  # the consumer's thread tells nobody
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
    return await _at_all_rates(send, number, stamps)


async def _at_all_rates(send: Send, number: int, stamps: _Stamps) -> dict[str, float]:
    """Every rate for as long as the others; a few events before, which are not counted."""
    await _at(_RATES[0], registrations(10), send)
    await stamps.all_ended()
    figures: dict[str, float] = {}
    for rate in _RATES:
        stamps.clear()
        events = registrations(max(2, number * rate // sum(_RATES)))
        await _at(rate, events, send)
        await stamps.all_ended()
        if len(found := stamps.milliseconds()) != len(events):
            raise WorkNotDone(f"{len(found)} of {len(events)} events had their effect")
        parts = quantiles(found, n=100, method="inclusive")
        figures |= {_name("p50", rate): parts[49], _name("p99", rate): parts[98]}
    return figures


async def _at(rate: int, events: Sequence[UserRegistered], send: Send) -> None:
    """Each at its own moment, whether or not the one before it is through."""
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, event in enumerate(events):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            group.create_task(send(event))


def _name(part: str, rate: int) -> str:
    return f"{part} at {rate}/s"


_FIGURES: Final = [
    Figure(name=_name(part, rate), unit="ms", is_more_better=False) for rate in _RATES for part in ("p50", "p99")
]
_OUTSIDE: Final = "outside handler"

MEASURE: Final = Measure(
    name="latency",
    work="commit → effect, in milliseconds, at 50, 200 and 500 events a second",
    events=3_000,
    figures=_FIGURES,
    contenders={"record handler": of_a_record_handler, _OUTSIDE: of_an_outside_handler, "raw produce → consume": raw},
    goals=(
        Goal(words="record p50 ≤ 5 ms at 200/s", figure=_name("p50", 200), at_most=5),
        Goal(words="record p99 ≤ 20 ms at 200/s", figure=_name("p99", 200), at_most=20),
        Goal(words="outside p50 ≤ 20 ms at 200/s", figure=_name("p50", 200), contender=_OUTSIDE, at_most=20),
    ),
)
