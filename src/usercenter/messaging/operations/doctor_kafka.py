"""What the doctor looks at on Kafka: each broker by each of its addresses, topics, groups, and what we may do there.

A child looks (`messaging/apart.py`). Nothing is written to a topic: that we may write is asked, not tried.
"""

import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import confluent_kafka
import msgspec
from confluent_kafka import KafkaError, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient  # type: ignore[attr-defined]

from usercenter.config.model import Kafka
from usercenter.messaging import apart, consumer_groups, topics
from usercenter.messaging.client import client_logger, client_settings, topics_by_stream
from usercenter.messaging.consumer_groups import ConsumerGroup, GroupMissing
from usercenter.messaging.operations.doctor import SKEW_SECONDS, Check, fine, unreachable, wrong
from usercenter.messaging.topics import Topic, TopicMissing

_TIMEOUT_SECONDS: Final = 3.0
_CHILD_SECONDS: Final = 120.0
_TOPIC_RIGHTS: Final = (AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE)
_GROUP_RIGHTS: Final = (AclOperation.READ, AclOperation.DESCRIBE)
_GRANT: Final = "grant it to the user that `kafka.librdkafka` logs in as: kafka-acls --add"
_ADDRESS: Final = "start it, or correct `kafka.brokers`, the broker's `advertised.listeners`, the name or the firewall"
_TELLING: Final = {
    KafkaError._AUTHENTICATION: "correct the user, the password or `sasl.mechanism` in `kafka.librdkafka`",  # noqa: SLF001
    KafkaError._SSL: "correct the `ssl.*` settings and `security.protocol` in `kafka.librdkafka`",  # noqa: SLF001
}
"""Causes that say more than that nobody answers, and what to do."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is asked."""

    kafka: Kafka
    groups: list[str]
    """Names of ours."""


async def look_at_kafka(kafka: Kafka, groups: Sequence[str]) -> list[Check]:
    """All of it, looked at by a child; only the brokers when none of them answers. A child that dies is a finding."""
    question = Question(kafka=kafka, groups=list(groups))
    try:
        return await apart.asked(__name__, question, list[Check], timeout_seconds=_CHILD_SECONDS)
    except apart.Unanswered as error:
        return [unreachable("kafka", str(error), "usercenter brokers --live; then once more: usercenter doctor")]


def _look(question: Question) -> list[Check]:
    kafka, causes = question.kafka, list[confluent_kafka.KafkaError]()
    found = list(_configured(kafka))
    admin = AdminClient(client_settings(kafka) | {"error_cb": causes.append}, logger=client_logger())
    try:
        metadata = admin.list_topics(timeout=_TIMEOUT_SECONDS)
    except confluent_kafka.KafkaException as error:
        admin.poll(0)  # the cause comes by a call back
        return [*found, _unanswering(kafka, error.args[0], causes)]
    for broker in metadata.brokers.values():
        found += _advertised(kafka, broker.id, str(broker.host), broker.port)
    for name in topics_by_stream(kafka).values():
        found += _asked(f"topic {name}", lambda name=name: _topic(kafka, admin, name))
    for group in question.groups:
        found += _asked(f"group {group}", lambda group=group: _group(kafka, admin, group))
    return found


def _unanswering(kafka: Kafka, error: KafkaError, causes: Sequence[KafkaError]) -> Check:
    """No broker answers: as the cause says, if the client knows one that says more."""
    cause = next((each for each in causes if each.code() in _TELLING), error)
    says = f"no broker of {', '.join(kafka.brokers)} answers: {cause.str()}"
    return unreachable("kafka", says, _TELLING.get(cause.code(), "start a broker, or correct `kafka.brokers`"))


def _configured(kafka: Kafka) -> Iterator[Check]:
    """What `kafka.brokers` names, by every address behind the name."""
    for address in kafka.brokers:
        host, _, port = address.rpartition(":")
        for problem in _connections(host.strip("[]"), int(port)):
            yield unreachable(f"kafka.brokers {address}", problem, "start it, or correct `kafka.brokers`")


def _advertised(kafka: Kafka, id_: int, host: str, port: int) -> list[Check]:
    """One broker by the address that it gives to clients: every address behind the name, then Kafka's own protocol."""
    name = f"broker {id_} at {host}:{port}"
    problems = list(_connections(host, port))
    if not problems:
        try:
            AdminClient(
                client_settings(kafka) | {"bootstrap.servers": f"{host}:{port}"}, logger=client_logger()
            ).list_topics(timeout=_TIMEOUT_SECONDS)
        except confluent_kafka.KafkaException as error:
            problems = [error.args[0].str()]
    return [unreachable(name, each, _ADDRESS) for each in problems] or [fine(name, "answers")]


def _connections(host: str, port: int) -> Iterator[str]:
    """What goes wrong when it is called, for each address behind the name."""
    try:
        addresses = {found[4][0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        yield f"the name {host} is not known here: {error.strerror or error}"
        return
    problems = []
    for address in sorted(map(str, addresses)):
        try:
            socket.create_connection((address, port), timeout=_TIMEOUT_SECONDS).close()
        except OSError as error:
            problems.append(f"{address} port {port}: {error.strerror or error}")
    if host != "localhost" or len(problems) == len(addresses):  # a laptop's broker listens on one of the two
        yield from problems


def _topic(kafka: Kafka, admin: AdminClient, name: str) -> Iterator[Check]:
    try:
        found = topics.describe(kafka, name)
    except TopicMissing:
        yield wrong(f"topic {name}", "does not exist", "usercenter topics create")
        return
    yield from _shape(kafka, found)
    latest = max((each.latest_at for each in found.partitions if each.latest_at), default=None)
    if latest is not None and (ahead := (latest - datetime.now(UTC)).total_seconds()) > SKEW_SECONDS:
        says = f"its latest record was written {ahead:.0f} s in the future: a producer's clock, or ours, is wrong"
        yield wrong(f"clock of {name}", says, "let all machines keep their time by NTP: `timedatectl status` on each")
    described: Any = admin.describe_topics(
        TopicCollection([name]), include_authorized_operations=True, request_timeout=topics.TIMEOUT_SECONDS
    )[name]
    yield from _rights(f"topic {name}", described.result().authorized_operations, _TOPIC_RIGHTS)


def _shape(kafka: Kafka, topic: Topic) -> Iterator[Check]:
    name, wanted = f"topic {topic.name}", kafka.new_topics
    replicas = min(len(each.replicas) for each in topic.partitions)
    in_sync = min(len(each.in_sync) for each in topic.partitions)
    leaderless = [each.partition for each in topic.partitions if each.leader < 0]
    says = f"{len(topic.partitions)} partitions, {replicas} replicas, {in_sync} in sync"
    if leaderless:
        yield wrong(name, f"partitions without a leader: {leaderless}", "start the brokers that have them")
    elif in_sync < wanted.min_insync_replicas:
        yield wrong(name, f"{says}, {wanted.min_insync_replicas} needed to write", "start the brokers that are away")
    elif in_sync < replicas:
        yield wrong(name, f"{says}: a replica is away or behind", "usercenter brokers; start the one that is away")
    elif replicas < wanted.replication_factor:
        step = "raise it with kafka-reassign-partitions, or lower `kafka.new_topics.replication_factor`"
        yield wrong(name, f"{says}, {wanted.replication_factor} configured", step)
    elif len(topic.partitions) < wanted.partitions:
        step = "add them (users change partitions: let all groups be done before), or configure fewer"
        yield wrong(name, f"{says}, {wanted.partitions} partitions configured", step)
    else:
        yield fine(name, says)


def _group(kafka: Kafka, admin: AdminClient, group: str) -> Iterator[Check]:
    name = f"group {group}"
    try:
        found = consumer_groups.describe(kafka, group, looks_for_oldest=False)
    except GroupMissing:
        yield wrong(name, "has never read anything", "usercenter run --roles worker")
        return
    yield _reading(name, found)
    described: Any = admin.describe_consumer_groups(
        [group], include_authorized_operations=True, request_timeout=topics.TIMEOUT_SECONDS
    )[group]
    yield from _rights(name, described.result().authorized_operations, _GROUP_RIGHTS)


def _reading(name: str, group: ConsumerGroup) -> Check:
    says = f"{group.state}, {len(group.members)} members, {group.lag} records behind"
    if not group.members:
        return wrong(name, f"{says}: nobody reads", "usercenter run --roles worker")
    unread = [f"{place.topic} {place.partition}" for place in group.places if place.member is None]
    if unread and group.state == "stable":
        return wrong(name, f"{says}; without a reader: {', '.join(unread)}", "usercenter groups describe " + group.name)
    return fine(name, says)


def _rights(name: str, may: Sequence[AclOperation] | None, needed: Sequence[AclOperation]) -> Iterator[Check]:
    """What the broker says that we may do; it says nothing where it has no rules."""
    missing = [each.name for each in needed if may and each not in may and AclOperation.ALL not in may]
    if missing:
        step = f"{_GRANT} --operation {missing[0].title()} …"
        yield wrong(f"rights on {name}", f"not allowed: {', '.join(missing)}", step)


def _asked(name: str, look: Any) -> list[Check]:
    """What it finds, and a broker's refusal as a finding."""
    found: list[Check] = []
    try:
        found.extend(look())
    except confluent_kafka.KafkaException as error:
        found.append(_refused(name, error.args[0]))
    return found


def _refused(name: str, error: confluent_kafka.KafkaError) -> Check:
    if "AUTHORIZATION" in error.name():
        return wrong(name, f"not allowed: {error.str()}", f"{_GRANT} …")
    return unreachable(name, error.str(), "usercenter brokers")


if __name__ == "__main__":
    apart.answering(Question, _look)
