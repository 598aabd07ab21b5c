"""The relay under stress: frozen past its lease, without answers, without a topic, without rights."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from faults.broker import CREDENTIALS, USER
from faults.crew import crew
from faults.front import Front
from faults.ledger import check
from faults.load import Clients
from faults.report import Figures
from harness import World, eventually
from msgspec.structs import replace

from usercenter.config.model import Config
from usercenter.messaging import topics

pytestmark = pytest.mark.fault("F6")


@pytest.mark.long
async def test_a_relay_frozen_past_its_lease_sends_nothing_that_the_next_one_has_passed_but_what_was_on_its_way(
    world: World, front: Front, clients: Callable[..., Clients], file: Path, figures: Figures
) -> None:
    patient = front.far(world.config, patience_seconds=60)
    through_the_proxy = replace(patient, database=world.config.database)
    async with world.service(roles=["api"]) as (api, _), crew(world, "relay.old", config=through_the_proxy) as relays:
        await eventually(lambda: owned(world), lambda shards: shards == 64, what="the shards")
        load = clients(lambda: [api.url], clerks=8, accounts=1, delete=0)
        await load.work(16)
        await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="a relay at work")
        front.to_broker.hold()
        await load.work(64)
        await eventually(
            lambda: front.to_broker.held_bytes, lambda number: number > 1_000, what="messages on their way"
        )
        relays.process("relay.old").child.send_signal(signal.SIGSTOP)
        relays.config = world.config
        await relays.start("relay.new")
        await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="an empty outbox")
        passed = places(world)
        front.to_broker.heal()
        relays.process("relay.old").child.send_signal(signal.SIGCONT)
        await eventually(lambda: places(world), lambda found: len(found) > len(passed), what="what was on its way")
        assert await relays.stop("relay.old") == 0
        late = [event for place, event in places(world).items() if place not in passed]
        async with world.service(roles=["worker"]):
            tally = await check(world, file)

    users = [event["user_id"] for event in late]
    assert len(users) == len(set(users))  # one message of each user at most
    assert {event["id"] for event in late} <= {event["id"] for event in passed.values()}  # none that was not known
    assert tally.duplicates == len(late)
    figures.note(f"a relay frozen past its lease: {len(late)} late messages of {tally.ok} operations", tally=tally)


@pytest.mark.parametrize(
    "gives_up",
    [
        pytest.param(False, id="the client library repeats", marks=pytest.mark.long),
        pytest.param(True, id="the relay repeats"),
    ],
)
async def test_messages_whose_acknowledgement_is_lost_are_sent_again_in_order(
    world: World,
    front: Front,
    clients: Callable[..., Clients],
    file: Path,
    figures: Figures,
    *,
    gives_up: bool,
) -> None:
    # librdkafka sends no messages while it waits for metadata: it asks at the start, and then not for a while
    seldom = {"socket.timeout.ms": "3000" if gives_up else "60000"}
    kafka = replace(world.config.kafka, brokers=[front.to_broker.address], librdkafka=seldom)
    config = replace(world.config, kafka=kafka)
    if gives_up:
        producer = replace(config.kafka.producer, delivery_timeout_ms=3_000)
        config = replace(config, kafka=replace(config.kafka, producer=producer))
    async with world.service(roles=["api"]) as (api, _), world.service(roles=["relay"], config=config) as (relay, _):
        await eventually(lambda: owned(world), lambda shards: shards == 64, what="the shards")
        load = clients(lambda: [api.url], clerks=4)
        await load.work(8)
        await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="the first acknowledgements")
        before = len(places(world))
        front.to_broker.swallow("down")
        await load.work(30)
        await eventually(lambda: len(places(world)), lambda n: n > before, what="messages without an answer")
        if gives_up:
            await eventually(lambda: b'error="_MSG_TIMED_OUT"' in relay.metrics.text(), what="a message given up")
        front.to_broker.heal()
        front.to_broker.reset()
        await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="an empty outbox")
        async with world.service(roles=["worker"]):
            tally = await check(world, file)

    assert (tally.duplicates > 0) is gives_up
    figures.note(f"acknowledgements lost, {'given up' if gives_up else 'repeated by the library'}", tally=tally)


@pytest.mark.long
async def test_events_of_a_deleted_topic_wait_and_flow_when_it_is_made_again(
    world: World, clients: Callable[..., Clients], file: Path
) -> None:
    quick = {"topic.metadata.propagation.max.ms": "1000", "topic.metadata.refresh.interval.ms": "1000"}
    config = replace(world.config, kafka=replace(world.config.kafka, librdkafka=quick))
    topic = config.kafka.topics.user_events
    async with world.service(roles=["api"]) as (api, _), crew(world, "relay", config=config) as relays:
        await eventually(lambda: owned(world), lambda shards: shards == 64, what="the shards")
        await asyncio.to_thread(delete_topic, world, topic)
        await clients(lambda: [api.url]).work(20)
        said = await eventually(lambda: said_by(relays.process("relay").lines, topic), what="a word in the log")
        assert "usercenter topics create" in said["next"]
        assert await world.count("outbox") == await world.count("event_log")
        assert await world.count("dead_letters") == 0
        await asyncio.to_thread(topics.create_missing, world.config.kafka)
        await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="an empty outbox")
        async with world.service(roles=["worker"]):
            await check(world, file)


@pytest.mark.long
async def test_without_rights_on_the_broker_events_wait_and_flow_after_the_grant(
    world: World, front: Front, clients: Callable[..., Clients], file: Path
) -> None:
    await asyncio.to_thread(topics.create_missing, world.config.kafka)
    guarded = guarded_by(world.config, front)
    async with world.service(roles=["api"]) as (api, _), crew(world, "relay", config=guarded) as relays:
        load, lines = clients(lambda: [api.url]), relays.process("relay").lines
        await load.work(10)
        said = await eventually(lambda: said_by(lines, "kafka.not_ready"), what="a word in the log")
        assert "give the user of `kafka.librdkafka` its rights" in said["next"]

        with granted(world, *EVERYTHING):
            await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="an empty outbox")
        await load.work(10)
        said = await eventually(lambda: said_by(lines, "kafka.delivery_failed"), what="another word in the log")
        assert "give the user of `kafka.librdkafka` its rights" in said["next"]
        assert await world.count("outbox") > 0
        assert await world.count("dead_letters") == 0

        with granted(world, *EVERYTHING):
            await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="an empty outbox")
            async with world.service(roles=["worker"]):
                await check(world, file)


async def owned(world: World) -> Any:
    """How many shards have a relay."""
    return await world.value("select count(*) from leases where kind = 'relay' and owner is not null")


def places(world: World) -> dict[tuple[int, int], dict[str, Any]]:
    """What lies where on user.events."""
    return {(each.partition, each.offset): json.loads(each.value or b"") for each in world.messages("user_events")}


def delete_topic(world: World, topic: str) -> None:
    """As an operator might."""
    admin = AdminClient({"bootstrap.servers": ",".join(world.config.kafka.brokers)})
    for done in admin.delete_topics([topic]).values():
        done.result(10)


def said_by(lines: list[str], word: str) -> Any:
    """The first log line with a next step in which the word stands."""
    found = (json.loads(line) for line in lines if word in line and line.startswith("{"))
    return next((line for line in found if "next" in line), None)


def guarded_by(config: Config, front: Front) -> Config:
    """The configuration of a client that has to say who it is."""
    kafka = replace(config.kafka, brokers=[front.broker.guarded_address], librdkafka=dict(CREDENTIALS))
    return replace(config, kafka=kafka)


EVERYTHING = (
    *((ResourceType.TOPIC, each) for each in (AclOperation.DESCRIBE, AclOperation.READ, AclOperation.WRITE)),
    (ResourceType.GROUP, AclOperation.READ),
)


class granted:  # noqa: N801  # reads as a word
    """The user has these rights on this world's topics and groups in the block, and none after it."""

    def __init__(self, world: World, *rights: tuple[Any, Any]) -> None:
        self._admin = AdminClient({"bootstrap.servers": ",".join(world.config.kafka.brokers)})
        self._rights = [binding(kind, world.config.kafka.client_id, operation) for kind, operation in rights]

    def __enter__(self) -> None:
        for done in self._admin.create_acls(self._rights).values():
            done.result(10)

    def __exit__(self, *_: object) -> None:
        filters = [confluent_kafka.admin.AclBindingFilter(**_facts(each)) for each in self._rights]
        for done in self._admin.delete_acls(filters).values():
            done.result(10)


def binding(kind: Any, prefix: str, operation: Any) -> AclBinding:
    """One right of the user, on everything whose name begins so."""
    return AclBinding(
        kind, prefix, ResourcePatternType.PREFIXED, f"User:{USER}", "*", operation, AclPermissionType.ALLOW
    )


def _facts(each: AclBinding) -> dict[str, Any]:
    return {
        "restype": each.restype,
        "name": each.name,
        "resource_pattern_type": each.resource_pattern_type,
        "principal": each.principal,
        "host": each.host,
        "operation": each.operation,
        "permission_type": each.permission_type,
    }
