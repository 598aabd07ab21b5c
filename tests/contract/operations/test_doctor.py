"""The doctor on a real system: all fine; then one thing after the other broken, and named with its next step."""

import asyncio
import json
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from command import Said, command
from harness import World, eventually, new_database
from msgspec.structs import replace

from usercenter.config.model import Config
from usercenter.messaging import stops
from usercenter.messaging.operations.doctor import clock
from usercenter.messaging.purging import delete_topic


async def doctor(world: World, config: Config | None = None) -> Said:
    return await command(config or world.config, "doctor")


async def checks(config: Config) -> dict[str, dict[str, Any]]:
    said = await command(config, "doctor", "--json")
    return {each["name"]: each for each in json.loads(said.data)["checks"]}


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def about(said: Said, start: str) -> str:
    """The lines of one check."""
    lines = said.data.splitlines()
    (number,) = [number for number, line in enumerate(lines) if line[2:].startswith(start)]
    return "\n".join(line for line in lines[number : number + 2] if line == lines[number] or line.startswith(" "))


async def test_on_a_system_that_runs_all_is_fine(world: World) -> None:
    async with world.service() as (service, _):
        await eventually(service.is_reading, what="the groups' partitions")
        said = await eventually(
            lambda: doctor(world), lambda said: said.status == 0, what="a system in which all is fine"
        )
        found = await checks(world.config)

    assert "are fine" in said.rest
    assert {line[0] for line in said.data.splitlines()} == {"✓"}
    assert {each["state"] for each in found.values()} == {"fine"}
    topics, group = world.config.kafka.topics, world.config.kafka.group_id
    for name in ("configuration", "database", "clock of the database", "schema", "role relay", "role worker", "stops",
                 "leases of relay", "leases of tasks", "cache", f"topic {topics.user_events}",
                 f"topic {topics.user_events}.dlq", f"group {group}", f"group {group}.webhooks"):  # fmt: skip
        assert name in found
    assert any(name.startswith("broker ") for name in found)
    assert any(name.startswith("mail by ") for name in found)
    assert any(name.startswith("SMS by ") for name in found)


async def test_what_is_missing_where_nothing_runs_is_named_with_its_next_step(world: World) -> None:
    said = await doctor(world)

    assert said.status == 1
    assert "next: usercenter run --roles relay" in about(said, "role relay")
    assert "next: usercenter run --roles worker" in about(said, f"group {world.config.kafka.group_id}:")
    assert "next: usercenter topics create" in about(said, f"topic {world.config.kafka.topics.user_events}:")


async def test_a_topic_that_was_deleted_and_a_group_that_stopped_are_named(world: World) -> None:
    gone = world.config.kafka.topics.user_analytics
    async with world.service() as (service, _):
        await eventually(service.is_reading, what="the groups' partitions")
    await asyncio.to_thread(delete_topic, world.config.kafka, gone)
    async with world.database.transaction() as tx:
        await stops.add(tx, "send_mail", "50 dead letters\x1b[2J in a row")

    said = await doctor(world)

    assert said.status == 1
    assert "does not exist" in about(said, f"topic {gone}:")
    assert "usercenter groups resume send_mail" in about(said, "stop of send_mail")
    assert "\x1b" not in said.data


@pytest.mark.parametrize(
    ("section", "facts", "name"),
    [
        ("mail", {"host": "127.0.0.1"}, "mail by"),
        ("sms", {"base_url": "http://127.0.0.1:{port}"}, "SMS by"),
        ("cache", {"url": "redis://127.0.0.1:{port}"}, "cache"),
        ("database", {"url": "postgresql://nobody@127.0.0.1:{port}/none"}, "database"),
        ("kafka", {"brokers": ["127.0.0.1:{port}"]}, "kafka.brokers"),
    ],
    ids=["mail", "sms", "cache", "database", "kafka"],
)
async def test_what_does_not_answer_is_unreachable(
    world: World, section: str, facts: dict[str, Any], name: str
) -> None:
    port = closed_port()
    filled = msgspec.json.decode(msgspec.json.encode(facts).replace(b"{port}", str(port).encode()))
    if section == "mail":
        filled["port"] = port
    if section == "database":
        filled["pool_timeout_seconds"] = 1
    config = replace(world.config, **{section: replace(getattr(world.config, section), **filled)})

    said = await doctor(world, config)

    assert said.status == 3
    assert "✗" in about(said, name)
    assert "next: " in about(said, name)
    assert str(port) in said.data


async def test_a_broker_that_is_away_is_named_although_another_answers(world: World) -> None:
    port = closed_port()
    kafka = replace(world.config.kafka, brokers=[*world.config.kafka.brokers, f"127.0.0.1:{port}"])

    found = await checks(replace(world.config, kafka=kafka))

    assert found[f"kafka.brokers 127.0.0.1:{port}"]["state"] == "unreachable"
    assert [each["state"] for name, each in found.items() if name.startswith("broker ")] == ["fine"]


async def test_an_old_schema_is_named_and_what_it_cannot_tell_is_unknown(world: World) -> None:
    database = replace(world.config.database, url=new_database(world.parts, "template1"))

    found = await checks(replace(world.config, database=database))

    assert (found["schema"]["state"], found["schema"]["next_step"]) == ("wrong", "usercenter db upgrade")
    assert found["running processes"]["state"] == "unknown"


async def test_fewer_replicas_and_partitions_than_configured_are_named(world: World) -> None:
    async with world.service() as (service, _):
        await eventually(service.is_reading, what="the groups' partitions")
    name = f"topic {world.config.kafka.topics.user_events}"
    for facts, words in (
        ({"replication_factor": 3}, "3 configured"),
        ({"partitions": 50}, "50 partitions configured"),
        ({"min_insync_replicas": 2, "replication_factor": 2}, "2 needed to write"),
    ):
        kafka = replace(world.config.kafka, new_topics=replace(world.config.kafka.new_topics, **facts))
        found = await checks(replace(world.config, kafka=kafka))
        assert (found[name]["state"], words in found[name]["says"]) == ("wrong", True), found[name]


async def test_a_wrong_configuration_is_the_one_finding(world: World) -> None:
    said = await doctor(world, replace(world.config, extensions=["acme.nowhere"]))

    assert said.status == 1
    assert "acme.nowhere" in about(said, "configuration")
    assert len([line for line in said.data.splitlines() if not line.startswith(" ")]) == 1


@pytest.mark.parametrize(("ahead", "state"), [(0.5, "fine"), (-1.9, "fine"), (5, "wrong"), (-5, "wrong")])
def test_a_clock_that_differs_is_named(ahead: float, state: str) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    found = clock("clock", now + timedelta(seconds=ahead), now, now)

    assert found.state == state
    assert ("NTP" in (found.next_step or "")) == (state == "wrong")
