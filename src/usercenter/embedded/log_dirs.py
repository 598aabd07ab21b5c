"""How many bytes a topic has on the disks of its brokers, as Kafka's own `log-dirs` tells it."""

from collections.abc import Mapping
from typing import Final

import msgspec

from usercenter.embedded.errors import ToolFailed
from usercenter.embedded.kafka_tools import output


class _Partition(msgspec.Struct):
    partition: str
    size: int


class _LogDir(msgspec.Struct):
    partitions: list[_Partition] = []


class _Broker(msgspec.Struct, rename="camel"):
    broker: int
    log_dirs: list[_LogDir] = []


class _Told(msgspec.Struct):
    brokers: list[_Broker]


_told: Final = msgspec.json.Decoder(_Told)


def sizes(topic: str, *, brokers: list[str], librdkafka: Mapping[str, str]) -> dict[int, dict[int, int]]:
    """Bytes by partition and broker; empty for a topic that no broker has.

    Blocks for a second or two, for Java has to start. Raises PartUnavailable, ToolFailed.
    """
    said = output("log-dirs", ["--describe", "--topic-list", topic], brokers=brokers, librdkafka=librdkafka)
    return read(said, topic)


def read(said: str, topic: str) -> dict[int, dict[int, int]]:
    """The sizes in what the tool said: some words, then one line of JSON. Raises ToolFailed without such a line."""
    line = next((line for line in said.splitlines() if line.startswith("{")), None)
    if line is None:
        raise ToolFailed("log-dirs", said)
    found: dict[int, dict[int, int]] = {}
    for broker in _told.decode(line).brokers:
        for each in (each for folder in broker.log_dirs for each in folder.partitions):
            name, _, number = each.partition.rpartition("-")
            if name == topic and number.isdigit():  # `-stray` and `-future` copies are none of it
                found.setdefault(int(number), {})[broker.broker] = each.size
    return found
