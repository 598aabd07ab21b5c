"""F2: a process dies at each named moment of the code, and the end state is exactly this one."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from faults.ledger import Allowed, Tally, check
from faults.load import USERS
from faults.report import Figures
from harness import Process, World, eventually

from usercenter.points import POINTS

Tests = Callable[..., Any]
TESTED: dict[str, str] = {}


def at(point: str) -> Callable[[Tests], Tests]:
    """Marks the test of a point."""

    def mark(test: Tests) -> Tests:
        TESTED[point] = test.__name__
        return pytest.mark.fault("F2")(test)

    return mark


def test_every_point_has_its_test() -> None:
    assert set(TESTED) == set(POINTS)


@at("outbox.added")
async def test_before_the_commit_nothing_has_happened(world: World, file: Path, figures: Figures) -> None:
    async with doomed(world, "api", "outbox.added") as process:
        assert await register(process.url, world) is None
        assert await process.died() == -signal.SIGKILL
    kept = ("users", "sessions", "event_log", "outbox", "idempotency_keys")
    assert {table: await world.count(table) for table in kept} == dict.fromkeys(kept, 0)

    async with world.service() as (service, _):
        again = await register(service.url, world)
        tally = await settled_with(world, file, figures, "outbox.added")
    assert again is not None
    assert again.status_code == 201
    assert (tally.events, tally.duplicates, tally.mails) == (1, 0, 1)


@at("outbox.committed")
async def test_after_the_commit_the_same_key_gets_the_first_answer_and_there_is_one_event(
    world: World, file: Path, figures: Figures
) -> None:
    async with doomed(world, "api", "outbox.committed") as process:
        assert await register(process.url, world) is None
        assert await process.died() == -signal.SIGKILL
    assert await counts(world, "users", "event_log", "outbox", "idempotency_keys") == [1, 1, 1, 1]
    first = await world.value("select id::text from users")

    async with world.service() as (service, _):
        answers = [await register(service.url, world) for _ in range(2)]
        tally = await settled_with(world, file, figures, "outbox.committed")
    assert [answer.status_code for answer in answers if answer] == [201, 201]
    assert {answer.content for answer in answers if answer} == {answers[0].content if answers[0] else b""}
    assert answers[0] is not None
    assert answers[0].json()["user"]["id"] == first
    assert (tally.events, tally.duplicates, tally.mails) == (1, 0, 1)


@at("relay.sent")
async def test_a_message_given_to_the_client_library_stays_in_the_outbox(
    world: World, file: Path, figures: Figures
) -> None:
    async with world.service(roles=["api"]) as (api, _), doomed(world, "relay", "relay.sent") as process:
        await register(api.url, world)
        assert await process.died() == -signal.SIGKILL
        assert await world.count("outbox") == 1

        async with world.service(roles=["relay", "worker"]):
            tally = await settled_with(world, file, figures, "relay.sent")
    assert tally.duplicates <= 1  # it may have left the process, or not
    assert (tally.events, tally.mails) == (1, 1)


@at("relay.acknowledged")
async def test_an_acknowledged_message_that_was_not_deleted_is_doubled_on_kafka_and_has_one_effect(
    world: World, file: Path, figures: Figures
) -> None:
    async with world.service(roles=["api"]) as (api, _), doomed(world, "relay", "relay.acknowledged") as process:
        await register(api.url, world)
        assert await process.died() == -signal.SIGKILL
        assert await world.count("outbox") == 1
        assert len(world.messages("user_events")) == 1

        async with world.service(roles=["relay", "worker"]):
            tally = await settled_with(world, file, figures, "relay.acknowledged")
    assert (tally.events, tally.duplicates, tally.mails) == (1, 1, 1)
    assert len({message.value for message in world.messages("user_events")}) == 1


@at("handler.begun")
async def test_a_handler_that_began_has_done_nothing_and_does_it_afterwards(
    world: World, file: Path, figures: Figures
) -> None:
    await a_batch_is_killed(world, file, figures, "handler.begun", had_effect=False)


@at("batch.effects_done")
async def test_effects_that_were_written_and_not_committed_are_not_there_and_come_afterwards(
    world: World, file: Path, figures: Figures
) -> None:
    await a_batch_is_killed(world, file, figures, "batch.effects_done", had_effect=False)


@at("batch.committed")
async def test_a_committed_batch_is_read_again_and_has_no_second_effect(
    world: World, file: Path, figures: Figures
) -> None:
    await a_batch_is_killed(world, file, figures, "batch.committed", had_effect=True)


@at("task.begun")
async def test_an_attempt_that_began_is_counted_and_the_mail_is_sent_once(
    world: World, file: Path, figures: Figures
) -> None:
    tally = await a_task_is_killed(world, file, figures, "task.begun", mails=0)
    assert (tally.mails, tally.mails_twice) == (1, 0)


@at("task.done")
async def test_a_mail_that_was_taken_and_not_noted_comes_twice_under_the_same_message_id(
    world: World, file: Path, figures: Figures
) -> None:
    tally = await a_task_is_killed(world, file, figures, "task.done", mails=1)
    assert (tally.mails, tally.mails_twice) == (2, 1)


async def a_batch_is_killed(world: World, file: Path, figures: Figures, point: str, *, had_effect: bool) -> None:
    """A failed login is one message for one group, and a number that grows by one: twice would be seen in it."""
    async with world.service(roles=["api", "relay"]) as (front, _), doomed(world, "worker", point) as process:
        await post(front.url, "/login", {"username": "nobody", "password": "wrong"})
        assert await process.died() == -signal.SIGKILL
        assert await counts(world, "inbox", "statistics") == ([1, 3] if had_effect else [0, 0])

        async with world.service(roles=["worker"]):
            await settled_with(world, file, figures, point)
    numbers = "select array_agg(value::int) from statistics where metric = 'login_failures'"
    assert await world.value(numbers) == [1, 1, 1]  # by minute, hour and day
    assert await world.count("inbox") == 1


async def a_task_is_killed(world: World, file: Path, figures: Figures, point: str, *, mails: int) -> Tally:
    """The only task of a registration is the welcome mail."""
    async with world.service(roles=["api", "relay"]) as (front, _), doomed(world, "worker", point) as process:
        await register(front.url, world)
        assert await process.died() == -signal.SIGKILL
        assert len(world.mails()) == mails
        assert await world.rows("select attempts, ended from tasks") == [(1, 0)]

        async with world.service(roles=["worker"]):
            return await settled_with(world, file, figures, point)


async def settled_with(world: World, file: Path, figures: Figures, point: str) -> Tally:
    """Everything done and sound; the events are those of this test's own requests, which no clerk wrote down."""
    tally = await check(world, file, allowed=Allowed(mails_twice=point == "task.done", unwritten=True))
    figures.note(f"`{point}`: {POINTS[point]}", kills=1, tally=tally)
    return tally


@asynccontextmanager
async def doomed(world: World, roles: str, point: str) -> AsyncIterator[Process]:
    """A process that will die at this point."""
    async with world.process(roles=roles, environment={"USERCENTER_DIE_AT": point}) as process:
        if "worker" in roles:
            await eventually(lambda: is_ready(process), what="a worker that reads")
        yield process


async def is_ready(process: Process) -> bool:
    async with httpx.AsyncClient(base_url=process.url) as client:
        return (await client.get("/ready")).status_code == 200


async def register(url: str, world: World) -> httpx.Response | None:
    """One registration with an Idempotency-Key; None when the connection was lost."""
    return await post(url, "/register", world.registration("ada"), {"Idempotency-Key": "first"})


async def post(url: str, path: str, body: Any, headers: dict[str, str] | None = None) -> httpx.Response | None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        try:
            return await client.post(USERS + path, json=body, headers=headers)
        except httpx.RemoteProtocolError:
            return None


async def counts(world: World, *tables: str) -> list[int]:
    return [await world.count(table) for table in tables]
