"""One look at brokers, topics and groups, taken by a child (`messaging/apart.py`)."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import msgspec

from usercenter.config.model import Kafka
from usercenter.messaging import apart, consumer_groups, topics
from usercenter.messaging.client import BrokerFailure
from usercenter.messaging.consumer_groups import ConsumerGroup
from usercenter.messaging.onlooker import PATIENCE_SECONDS, Clients, Onlooker
from usercenter.messaging.topics import Topic

_GROUPS_AT_MOST: Final = 100
_DATING_SECONDS: Final = 10.0
"""For reading since when groups are behind; later groups have their lag alone."""
_CHILD_SECONDS: Final = 60.0


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """What the brokers said."""

    partitions: dict[str, int]
    """Of every topic, Kafka's own too."""
    topics: list[Topic]
    """Ours, as far as they could be described."""
    groups: list[ConsumerGroup]
    groups_left_out: int
    """Beyond the hundred, or not to be described."""


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A topic or a group that could not be described."""

    kind: Literal["topic", "group"]
    name: str
    error: str


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is asked."""

    kafka: Kafka
    topics: Sequence[str]
    groups: Sequence[str]
    """Ours: they are looked at first."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the child says: a cluster, or why there is none."""

    cluster: Cluster | None = None
    error: str = ""
    left_out: list[LeftOut] = []


async def look(question: Question) -> Answer:
    """Ask the brokers, in a child. A child that dies or takes a minute is an answer with an error; it never raises."""
    try:
        return await apart.asked(__name__, question, Answer, timeout_seconds=_CHILD_SECONDS)
    except apart.Unanswered as error:
        return Answer(error=str(error))


def ask(question: Question) -> Answer:
    """Ask the brokers, here. Blocks."""
    onlooker, left_out = Onlooker(question.kafka), list[LeftOut]()
    try:
        with onlooker.clients() as clients:
            return Answer(cluster=_cluster(clients, question, left_out), left_out=left_out)
    except BrokerFailure as error:
        return Answer(error=error.args[0].str())
    finally:
        onlooker.close()


def _cluster(clients: Clients, question: Question, left_out: list[LeftOut]) -> Cluster:
    metadata = clients.admin.list_topics(timeout=PATIENCE_SECONDS)
    names = consumer_groups.listed(clients.admin, timeout_seconds=PATIENCE_SECONDS)
    ours = frozenset(question.groups)
    groups = _groups(clients, sorted(names, key=lambda name: (name not in ours, name)), left_out)
    wanted = [each for name, each in metadata.topics.items() if name in question.topics]
    return Cluster(
        partitions=topics.partitions_of(metadata),
        topics=_topics(clients, wanted, left_out),
        groups=sorted(groups, key=lambda group: group.name),
        groups_left_out=len(names) - len(groups),
    )


def _topics(clients: Clients, wanted: Iterable[Any], left_out: list[LeftOut]) -> list[Topic]:
    """Without those that cannot be described now: one that has no leader must not hide the others."""
    found = []
    for metadata in wanted:
        try:
            found.append(topics.described(clients, metadata, timeout_seconds=PATIENCE_SECONDS))
        except BrokerFailure as error:
            left_out.append(LeftOut(kind="topic", name=metadata.topic, error=error.args[0].str()))
    return found


def _groups(clients: Clients, names: list[str], left_out: list[LeftOut]) -> list[ConsumerGroup]:
    """As many as are described, with few questions; if one of them cannot be, with questions for each."""
    chosen = names[:_GROUPS_AT_MOST]
    try:
        found = consumer_groups.described(clients.admin, chosen, timeout_seconds=PATIENCE_SECONDS)
    except BrokerFailure:
        found = [group for name in chosen for group in _group(clients, name, left_out)]
    deadline = time.monotonic() + _DATING_SECONDS
    return [
        consumer_groups.dated(clients.consumer, each, timeout_seconds=PATIENCE_SECONDS)
        if time.monotonic() < deadline
        else each
        for each in found
    ]


def _group(clients: Clients, name: str, left_out: list[LeftOut]) -> list[ConsumerGroup]:
    try:
        return consumer_groups.described(clients.admin, [name], timeout_seconds=PATIENCE_SECONDS)
    except BrokerFailure as error:
        left_out.append(LeftOut(kind="group", name=name, error=error.args[0].str()))
        return []


if __name__ == "__main__":
    apart.answering(Question, ask)
