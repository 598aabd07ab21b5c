"""F9: messages that nobody can read, and events that no handler survives: each ends as the docs say, others go on."""

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import confluent_kafka
import pytest
from faults.ledger import Allowed, Tally, judge
from faults.load import Clients
from faults.poisonous import PATIENT, Poisoned
from faults.report import Figures
from faults.settling import settled
from harness import World, eventually
from msgspec.structs import replace
from receiving import Desk, login
from wire import make_topics, native_client

from usercenter.config.model import Config, Kafka
from usercenter.events import encode, headers_of, new_id

TESTS = str(Path(__file__).parents[1])
PARTITION = 0
MEGABYTE = 1_040_000


def flat(type_: str = "user.logged_in", **fields: Any) -> bytes:
    """A message as other producers write it."""
    event = {"id": str(new_id()), "type": type_, "source": "another", "timestamp": "2026-01-02T03:04:05Z"}
    own = {"user_id": str(new_id()), "username": "eve", "email": "eve@example.com"}
    return json.dumps({**event, **own, **fields}).encode()


UNREADABLE = {
    "not JSON": (b"k", b"{ this is not JSON", []),
    "no object": (b"k", b"[1, 2, 3]", []),
    "not UTF-8": (b"k", b'{"type": "user.logged_in", "username": "\xff\xfe"}', []),
    "no value": (b"k", None, []),
    "a field of another kind": (b"k", flat(username=7), []),
    "no user": (b"k", flat(user_id="nobody"), []),
    "a year that no column holds": (b"k", flat(timestamp="0001-01-01T00:00:00Z"), []),
    "a megabyte of nothing": (b"k", b"x" * MEGABYTE, []),
}
SKIPPED = {"an unknown type": (b"k", flat("user.abducted"), [])}
HANDLED = {
    "a version that nobody knows": (b"k", flat(version="99.0"), []),
    "a key that is no UUID": (b"\xff\x00key", flat(), []),
    "no key": (None, flat(), []),
    "headers that are not UTF-8": (b"k", flat(), [("request_id", b"\xff\xfe")]),
    "a megabyte of data": (b"k", flat(data={"filler": "x" * MEGABYTE}), []),
}


@pytest.mark.fault("F9")
async def test_what_cannot_be_read_is_a_dead_letter_and_what_is_only_odd_is_handled(
    world: World, clients: Callable[..., Clients], file: Path, figures: Figures
) -> None:
    poison = {**UNREADABLE, **SKIPPED, **HANDLED}
    groups = 2  # of the service read user.events; one of them keeps the dead letter
    config = replace(world.config, tasks=replace(world.config.tasks, lease_seconds=15))  # none is lost: no mail twice
    async with world.service(config=config) as (service, _):
        await eventually(service.is_reading, what="the consumers")
        working = asyncio.create_task(clients(lambda: [service.url], clerks=2).work(40))
        await asyncio.to_thread(publish, world.config.kafka, poison.values())
        await eventually(
            lambda: world.count("dead_letters"),
            lambda number: number >= len(UNREADABLE),
            what="the dead letters",
        )
        await working
        await settled(world)
        tally = await judge(world, file, allowed=Allowed(foreign=True, dead_letters=len(UNREADABLE)))
        skipped = sample(service.metrics, "kafka_consumer_messages_total", event_type="other")

    logins = len(HANDLED) + 1  # of strangers, which the clients' books do not know: beside them nothing differs
    assert [each.split()[:6] for each in tally.problems if f"{logins} too many" in each] == [
        ["login_log:", "0", "missing", "[],", str(logins), "too"]
    ]
    assert [each for each in tally.problems if not each.startswith(("login_log:", "statistics:"))] == []
    letters = await world.rows("select handler, event_id, value, error from dead_letters order by id")
    assert {row[0] for row in letters} == {"decode"}
    values = sorted(bytes(value or b"") for _, value, _ in UNREADABLE.values())
    assert sorted(bytes(row[2] or b"") for row in letters) == values
    assert all(row[3] for row in letters), "each has its reason"
    ids = [json.loads(value)["id"] for _, value, _ in HANDLED.values()]
    assert await world.value("select count(*) from login_log where event_id = any(%s::uuid[])", ids) == len(ids)
    assert skipped >= groups * (len(UNREADABLE) + len(SKIPPED))
    dead = await asyncio.to_thread(world.messages, "user_events.dlq")
    sendable = [value for value in values if len(value) < MEGABYTE]  # with its headers this one is in the table alone
    assert sorted(message.value or b"" for message in dead) == sendable
    figures.note("messages that cannot be read, or are only odd, among others", tally=tally)


POISON = [("record", "raises"), ("record", "hangs"), ("record", "exits"), ("outside", "raises"), ("outside", "hangs")]


@pytest.mark.fault("F9")
async def test_an_event_that_makes_its_handler_raise_hang_or_end_the_process_becomes_a_dead_letter(
    world: World, figures: Figures
) -> None:
    poison = [a_poison(where=where, how=how) for where, how in POISON]
    harmless = [a_poison(user_id=event.user_id) for event in poison] + [a_poison() for _ in range(4)]
    await Desk(world).open()
    await make_topics(world)
    config = poisoned(world.config)
    await asyncio.to_thread(publish_events, config.kafka, poison + harmless)
    lives = await lived_through(world, config, letters=len(poison))

    letters = await world.rows("select event_id, handler, attempts from dead_letters")
    expected = {event.id: "react" if event.where == "record" else "reach_out" for event in poison}
    assert {row[0] for row in letters} == set(expected)
    assert len(letters) == len(poison)
    effects = await world.rows("select event_id, handler from effects")
    for event in harmless:
        assert effects.count((event.id, "react")) == 1
        assert effects.count((event.id, "reach_out")) == 1
    assert not [row for row in effects if expected.get(row[0]) == row[1]], "a poison had its effect"
    assert await world.count("tasks") == 0
    how = "handlers that raise, hang and end the process, in the batch and outside of it"
    figures.note(how, kills=lives - 1, tally=Tally(events=len(poison + harmless)))


@pytest.mark.fault("F9")
async def test_an_event_whose_outside_handler_ends_the_process_becomes_a_dead_letter_and_the_others_are_done(
    world: World, figures: Figures
) -> None:
    deadly = a_poison(where="beyond", how="exits")
    harmless = [a_poison(user_id=deadly.user_id)] + [a_poison() for _ in range(12)]
    await Desk(world).open()
    await make_topics(world)
    config = poisoned(world.config)
    await asyncio.to_thread(publish_events, config.kafka, [deadly, *harmless])
    lives = await lived_through(world, config, letters=1)

    assert lives - 1 == PATIENT.attempts
    [(event_id, handler, attempts, error)] = await world.rows(
        "select event_id, handler, attempts, error from dead_letters"
    )
    assert (event_id, handler, attempts) == (deadly.id, "reach_beyond", PATIENT.attempts)
    assert "began and never ended" in error
    done = await world.rows("select event_id from effects where handler = 'reach_beyond'")
    assert {row[0] for row in done} == {event.id for event in harmless}
    how = "an outside handler that ends its process at each of its attempts, among twelve other users"
    figures.note(how, kills=lives - 1, tally=Tally(events=len(harmless) + 1))


async def lived_through(world: World, config: Config, *, letters: int) -> int:
    """Start a worker again and again until all poison is a dead letter and the rest is done; returns how often."""
    done = asyncio.create_task(
        eventually(lambda: state(world), lambda found: found.is_over(letters), what="the end", timeout_seconds=90)
    )
    for life in itertools.count(1):
        try:
            async with world.process(
                roles="relay,worker", config=config, environment={"PYTHONPATH": f"{TESTS}:{SOURCE}"}
            ) as process:
                ended = asyncio.create_task(process.child.wait())
                await asyncio.wait({done, ended}, return_when=asyncio.FIRST_COMPLETED)
        except AssertionError as error:
            if "did not come up" not in str(error):  # it may die while it starts
                raise
        if done.done():
            await done
            return life
    raise AssertionError("never here")


SOURCE = str(Path(__file__).parents[2] / "src")


class State(NamedTuple):
    """How far it is."""

    letters: list[Any]
    tasks: list[Any]
    seen: int
    stopped: list[Any]

    def is_over(self, letters: int) -> bool:
        """Whether so many are dead and all others done."""
        return len(self.letters) == letters and not self.tasks and self.seen > letters


async def state(world: World) -> State:
    return State(
        letters=await world.rows("select handler, attempts, left(error, 60) from dead_letters"),
        tasks=await world.rows("select handler, attempts, last_error from tasks"),
        seen=await world.count("inbox"),
        stopped=await world.rows("select group_name, reason from group_stops"),
    )


def poisoned(config: Config) -> Config:
    """With the extension, from the beginning of the topic; an event may end two processes."""
    consumer = replace(config.kafka.consumer, auto_offset_reset="earliest", crashes=2)
    return replace(config, extensions=["faults.poisonous"], kafka=replace(config.kafka, consumer=consumer))


def a_poison(user_id: UUID | None = None, *, where: str = "", how: str = "") -> Poisoned:
    return Poisoned(id=new_id(), timestamp=datetime.now(UTC), user_id=user_id or new_id(), where=where, how=how)


def publish_events(kafka: Kafka, events: Sequence[Poisoned]) -> None:
    """These, in one order. Blocks."""
    publish(kafka, [(str(each.user_id).encode(), encode(each), list(headers_of(each).items())) for each in events])


def publish(kafka: Kafka, messages: Sequence[tuple[bytes | None, bytes | None, list[tuple[str, Any]]]]) -> None:
    """All on one partition, an ordinary login behind them. Blocks."""
    producer = native_client(confluent_kafka.Producer, kafka, **{"message.max.bytes": 2 * MEGABYTE})
    for key, value, headers in messages:
        producer.produce(kafka.topics.user_events, value, key, partition=PARTITION, headers=headers)
    last = login()
    producer.produce(kafka.topics.user_events, encode(last), str(last.user_id), partition=PARTITION)
    assert producer.flush(20) == 0


def sample(metrics: Any, name: str, **labels: str) -> float:
    """The sum of the samples of a metric that have these labels."""
    return sum(
        each.value
        for metric in metrics.registry.collect()
        for each in metric.samples
        if each.name == name and labels.items() <= each.labels.items()
    )
