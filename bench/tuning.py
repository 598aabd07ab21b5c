"""Settings of the product, one changed at a time; `docs/tuning.md` says what to make of it.

Not part of a whole run: `make bench MEASURE=tuning`. The work is that of the measures `relay` and `batch`, on the
product's own path: what is sent goes from the outbox to Kafka, what is received from memory to inbox and effects.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from bench import batch, relay
from bench.ground import Ground
from bench.measure import Figure, Measure, Run
from usercenter.config.model import Config
from usercenter.messaging import topics

_SENT: Final = "events/s sent"
_SIZE: Final = "bytes of an event on Kafka's disk"
_RECEIVED: Final = "events/s received"
_SENDING: Final[dict[str, tuple[Any, ...]]] = {
    "relay.batch_messages": (100, 500, 5_000),
    "kafka.producer.batch_messages": (10, 1_000),
    "kafka.producer.linger_ms": (5, 20),
    "kafka.producer.compression": ("none", "lz4", "zstd", "gzip"),
    "kafka.new_topics.partitions": (1, 6, 12),
}
_RECEIVING: Final[dict[str, tuple[Any, ...]]] = {"kafka.consumer.batch_messages": (1, 10, 100, 2_000)}


async def sending(ground: Ground, number: int, *, setting: str = "", value: object = None) -> dict[str, float]:
    """The product's relay with this setting, and how large its messages lie on the broker's disk."""
    prepare(ground, setting, value)
    await asyncio.to_thread(topics.create_missing, ground.config.kafka)
    found = await relay.by_the_product(ground, number)
    size = await asyncio.to_thread(_bytes_of, ground.parts.data_dir, ground.config.kafka.topics.user_events)
    return {_SENT: found["events/s"], _SIZE: size / number}


async def receiving(ground: Ground, number: int, *, setting: str = "", value: object = None) -> dict[str, float]:
    """The product's router with this setting."""
    prepare(ground, setting, value)
    found = await batch.by_the_product(ground, min(number, 2_000) if value == 1 else number)
    return {_RECEIVED: found["events/s"]}


async def defaults(ground: Ground, number: int) -> dict[str, float]:
    """Both with nothing changed."""
    received = await receiving(ground, number)
    async with ground.database.transaction() as tx:
        await tx.execute("delete from outbox")
    return received | await sending(ground, number)


def prepare(ground: Ground, setting: str, value: object) -> None:
    """Give the ground this setting, and names for new topics: those that are there have the defaults."""
    if not setting:
        return
    config = changed(ground.config, setting, value)
    named = {name: f"{topic}.changed" for name, topic in msgspec.structs.asdict(config.kafka.topics).items()}
    ground.config = replace(config, kafka=replace(config.kafka, topics=replace(config.kafka.topics, **named)))


def changed(config: Config, setting: str, value: object) -> Config:
    """The configuration with one setting changed, which is named as in the file."""
    whole = msgspec.to_builtins(config)
    *path, field = setting.split(".")
    section = whole
    for name in path:
        section = section[name]
    section[field] = value
    return msgspec.convert(whole, Config)


def _contenders() -> dict[str, Run]:
    found: dict[str, Run] = {"the defaults": defaults}
    for run, sweep in ((sending, _SENDING), (receiving, _RECEIVING)):
        for setting, values in sweep.items():
            found |= {f"{setting}: {value}": partial(run, setting=setting, value=value) for value in values}
    return found


MEASURE: Final = Measure(
    name="tuning",
    work="outbox → Kafka, and messages → effects, with one setting changed at a time",
    events=20_000,
    contenders=_contenders(),
    figures=(
        Figure(name=_SENT, unit="events/s"),
        Figure(name=_SIZE, unit="bytes", is_more_better=False),
        Figure(name=_RECEIVED, unit="events/s"),
    ),
    are_rivals=False,
)


def _bytes_of(folder: Path, topic: str) -> int:
    """How much the topic's partitions have on the disk."""
    return sum(path.stat().st_size for path in folder.glob(f"kafka/**/{topic}-*/*.log"))
