"""The timeline of a user on a real system: every state that an event can be in, and its place on Kafka."""

import json
from typing import Any
from uuid import UUID

import pytest
from command import command
from harness import World, eventually
from msgspec.structs import replace

from usercenter.events import new_id
from usercenter.messaging.operations.whereabouts import partition_of


async def entries(world: World, user_id: UUID, *options: str) -> list[dict[str, Any]]:
    said = await command(world.config, "user", "timeline", str(user_id), *options, "--json")
    assert said.status == 0, said
    return list(json.loads(said.data))


def states(entry: dict[str, Any]) -> dict[str, str]:
    return {step["handler"]: step["state"] for step in entry["steps"]}


async def lived(world: World) -> UUID:
    """One user has registered and logged in, and all that follows is done."""
    async with world.service() as (service, client):
        await eventually(service.is_reading, what="the groups' partitions")
        answer = await client.post("/api/v1/users/register", json=world.registration("ada"))
        await client.post("/api/v1/users/login", json={"username": "ada", "password": "password123"})
        user_id = UUID(answer.json()["user"]["id"])

        async def left() -> Any:
            return await world.value("select (select count(*) from outbox) + (select count(*) from tasks)")

        def is_done(found: list[dict[str, Any]]) -> bool:
            return all(set(states(entry).values()) == {"done"} for entry in found)

        await eventually(left, lambda number: number == 0, what="the end of all work")
        await eventually(lambda: entries(world, user_id, "--no-kafka"), is_done, what="all handlers")
    return user_id


async def test_what_is_done_is_shown_with_its_place_and_each_handler(world: World) -> None:
    user_id = await lived(world)
    found = await entries(world, user_id)
    records = {message.headers["ce_id"]: message for message in world.messages("user_events")}

    assert [(each["sequence"], each["type"]) for each in found] == [(1, "user.registered"), (2, "user.logged_in")]
    for each in found:
        record = records[each["id"]]
        assert (each["partition"], each["offset"]) == (record.partition, record.offset)
    assert states(found[0])["create_settings"] == "done"
    assert states(found[1])["write_login_log"] == "done"


async def test_without_a_broker_all_that_postgresql_has_is_shown_and_it_is_said_what_is_not(world: World) -> None:
    user_id = await lived(world)
    without = replace(world.config, kafka=replace(world.config.kafka, brokers=["127.0.0.1:1"]))

    said = await command(without, "user", "timeline", str(user_id))

    assert said.status == 0
    assert "user.registered" in said.data
    assert "places on Kafka are left out" in said.rest
    assert "no broker can be reached" in said.rest
    assert "--no-kafka" in said.rest
    assert "KafkaError" not in said.rest


async def test_what_is_parked_dead_or_in_the_outbox_says_so_with_error_attempts_and_next_try(world: World) -> None:
    user_id = await lived(world)
    first, second = await entries(world, user_id, "--no-kafka")
    async with world.database.transaction() as tx:
        facts = {"user": user_id, "first": first["id"], "second": second["id"], "mail": new_id(),
                 "topic": world.config.kafka.topics.user_events, "group": world.config.kafka.group_id}  # fmt: skip
        await tx.execute(_PARK, facts)
        await tx.execute(_BURY, facts)
        await tx.execute(_MAIL, facts)
        await tx.execute(_UNSENT, facts)

    said = await command(world.config, "user", "timeline", str(user_id), "--attempts", "--no-kafka")
    first, second = await entries(world, user_id, "--no-kafka")

    assert states(first)["create_settings"] == "parked"
    assert states(first)["send_mail"] == "dead"
    assert states(second)["write_login_log"] == "dead"
    assert (first["partition"], first["offset"], second["is_in_outbox"]) == (2, 77, True)
    assert "2 attempts, next at " in said.data
    assert "letter 1: 16 attempts" in said.data
    assert "outbox" in said.data
    assert "ada@example.com" not in said.data
    assert "\x1b" not in said.data


async def test_a_user_is_found_by_name_and_by_address_too(world: World) -> None:
    user_id = await lived(world)

    by_id = await entries(world, user_id, "--no-kafka")
    for name in ("Ada", world.email("ada")):
        said = await command(world.config, "user", "timeline", name, "--no-kafka", "--json")
        assert json.loads(said.data) == by_id
    nobody = await command(world.config, "user", "timeline", "nobody", "--no-kafka")

    assert (nobody.status, nobody.data) == (1, "")
    assert "found by the id" in nobody.rest


async def test_personal_data_is_shown_only_on_record(world: World) -> None:
    user_id = await lived(world)

    masked = await command(world.config, "user", "timeline", str(user_id), "--no-kafka")
    assert await world.count("operations") == 0
    whole = await command(world.config, "user", "timeline", str(user_id), "--no-kafka", "--unmasked", "--by", "grace")

    assert "ada" not in masked.data.replace("2026", "")
    assert world.email("ada") in whole.data
    (kept,) = await world.rows("select kind, by from operations")
    assert kept[0] == "timeline.show_unmasked"
    assert kept[1].startswith("grace (")


async def test_a_user_without_events_is_said_to_have_none(world: World) -> None:
    said = await command(world.config, "user", "timeline", str(new_id()))

    assert (said.status, said.data) == (1, "")
    assert "there is no event" in said.rest


@pytest.mark.parametrize(
    ("key", "number"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_a_key_has_the_partition_that_the_java_clients_choose(key: bytes, number: int) -> None:
    """The vectors of Kafka's own test of its hash."""
    assert partition_of(key, 2**31) == number & 0x7FFFFFFF


_PARK = """
insert into tasks (handler, user_id, sequence, event_id, event_type, shard, payload, group_name, topic, kafka_partition,
    kafka_offset, attempts, ended, next_attempt_at, last_error, occurred_at)
values ('create_settings', %(user)s, 1, %(first)s, 'user.registered', 1, '{"email": "ada@example.com"}', %(group)s,
    %(topic)s, 2, 77, 2, 2, now() + interval '1 hour', E'OSError: ada@example.com \\x1b[2J', now())
"""
_BURY = """
insert into dead_letters (group_name, handler, topic, headers, event_id, event_type, user_id, attempts, error, value)
values (%(group)s, 'write_login_log', %(topic)s, '{}', %(second)s, 'user.logged_in', %(user)s, 16, 'ValueError: no',
    '{}')
"""
_MAIL = """
insert into dead_letters (group_name, handler, topic, headers, event_id, event_type, user_id, attempts, error, value)
values (%(group)s || '.notifications', 'send_mail', 'mails', '{}', %(mail)s, 'notification.requested', %(user)s, 1,
    'no', convert_to(json_build_object('causation_id', %(first)s::text)::text, 'UTF8'))
"""
_UNSENT = """
insert into outbox (id, aggregatetype, aggregateid, type, payload, headers, shard)
values (%(second)s, 'user_events', %(user)s::text, 'user.logged_in', '{}', '{}', 1)
"""
