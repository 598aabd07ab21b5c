"""Marks of begun batches: an event that kills its process is found, and nothing else is taken for one."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from harness import World
from receiving import TOPIC, Desk, Effects, Trouble, login, message

import usercenter
from usercenter.db import DatabaseUnavailable, OutcomeUnknown
from usercenter.events import UserLoggedIn
from usercenter.messaging.batch import Received
from usercenter.messaging.begun import Mark, Marks
from usercenter.messaging.groups import Group, record

WORKER = Path(__file__).parents[2] / "dying_worker.py"


@pytest.fixture
async def desk(world: World) -> Desk:
    desk = Desk(world)
    await desk.open()
    return desk


def of_logins(*handlers: Any) -> Group:
    return Group("usercenter", "user_events", {UserLoggedIn: handlers})


def at(offset: int, *, partition: int = 0, **fields: Any) -> Received:
    """A message with a login at this offset."""
    return message(login(**fields), offset=offset, partition=partition)


async def marks_of(world: World) -> list[tuple[int, int, int, int]]:
    """Partition, first, last and attempts of each mark."""
    return await world.rows(
        "select kafka_partition, first_offset, last_offset, attempts from batches_begun order by kafka_partition"
    )


async def one_process(world: World, messages: Sequence[Received]) -> int:
    """A process that handles this batch; returns its exit status."""
    path = f"{Path(usercenter.__file__).parents[1]}:{WORKER.parent}"
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), world.config.database.url, "batch",
        stdin=asyncio.subprocess.PIPE, env={"PYTHONPATH": path},
    )  # fmt: skip
    await child.communicate(msgspec.json.encode(messages))
    return child.returncode or 0


async def test_an_event_that_kills_its_process_becomes_a_dead_letter_and_the_others_have_their_effect(
    desk: Desk,
) -> None:
    batch = [at(0), at(1), at(2, user_agent="deadly"), at(3), at(0, partition=1)]

    assert [await one_process(desk.world, batch) for _ in range(4)] == [17, 17, 17, 0]

    ids = [msgspec.json.decode(each.value or b"")["id"] for each in batch]
    effects = [str(each) for each in await desk.effects("write")]
    assert sorted(effects) == sorted(ids[:2] + ids[3:])
    [letter] = await desk.world.rows(
        "select handler, event_id::text, kafka_offset, attempts, split_part(error, ':', 1), headers->>'ce_id' "
        "from dead_letters"
    )
    assert letter == ("write", ids[2], 2, 3, "NeverEnded", ids[2])
    assert await desk.world.count("tasks") == 5, "what outside handlers have to do is left to the runner as always"
    assert {mark[-1] for mark in await marks_of(desk.world)} == {0}


async def test_a_batch_that_is_done_leaves_no_open_mark(desk: Desk) -> None:
    router = desk.router(of_logins(record(Effects().record("first"))))

    await router.handle([at(4), at(5), at(9, partition=1)])

    assert await marks_of(desk.world) == [(0, 4, 5, 0), (1, 9, 9, 0)]


async def test_a_batch_that_was_done_and_is_read_again_is_no_suspect(desk: Desk) -> None:
    effects, batch = Effects(), [at(0), at(1)]
    router = desk.router(of_logins(record(effects.record("first"))))

    for _ in range(5):
        await router.handle(batch)

    assert effects.sizes == [2]
    assert await desk.world.count("dead_letters") == 0


async def test_a_batch_that_fails_with_the_database_is_no_suspect_however_often(desk: Desk) -> None:
    effects, batch = Effects(), [at(0), at(1)]
    effects.fails = lambda handler, event: psycopg.OperationalError("gone") if len(effects.sizes) < 6 else None
    router = desk.router(of_logins(record(effects.record("first"))))

    for _ in range(5):
        with pytest.raises(Exception, match="PostgreSQL is not there"):
            await router.handle(batch)
        assert await marks_of(desk.world) == [(0, 0, 1, 0)]
    await router.handle(batch)

    assert effects.sizes == [2] * 6
    assert await desk.world.count("dead_letters") == 0


async def test_a_mark_that_could_not_be_taken_back_is_taken_back_before_the_next_one(desk: Desk) -> None:
    effects, batch = Effects(), [at(0), at(1)]
    is_away = False

    def lose(handler: str, event: object) -> BaseException | None:
        nonlocal is_away
        is_away = len(effects.sizes) == 1
        return psycopg.OperationalError("gone") if is_away else None

    effects.fails = lose
    troubled = desk.with_trouble(Trouble(lambda step: is_away))
    router = troubled.router(of_logins(record(effects.record("first"))))

    with pytest.raises(DatabaseUnavailable):
        await router.handle(batch)
    assert await marks_of(desk.world) == [(0, 0, 1, 1)]
    is_away = False
    await router.handle(batch)

    assert effects.sizes == [2, 2], "as one batch again, not one by one"
    assert await marks_of(desk.world) == [(0, 0, 1, 0)]


async def test_a_mark_whose_writing_had_no_answer_makes_nothing_suspect(desk: Desk) -> None:
    effects, batch = Effects(), [at(0), at(1)]
    troubled = desk.with_trouble(Trouble(lambda step: step == 2))  # the answer to the first statement
    router = troubled.router(of_logins(record(effects.record("first"))))

    with pytest.raises(OutcomeUnknown):
        await router.handle(batch)
    assert await marks_of(desk.world) == [(0, 0, 1, 0)]
    await router.handle(batch)

    assert effects.sizes == [2], "as one batch, not one by one"


async def test_a_suspect_whose_mark_had_no_answer_is_not_blamed_for_it(desk: Desk) -> None:
    await Marks("usercenter", desk.database).begin([at(0)])  # by a process that is no more
    marks = Marks("usercenter", desk.with_trouble(Trouble(lambda step: step == 2)).database)

    with pytest.raises(OutcomeUnknown):
        await marks.begin_alone(at(0), attempts=2)
    assert await marks_of(desk.world) == [(0, 0, 0, 2)]
    await marks.give_back()

    assert await marks_of(desk.world) == [(0, 0, 0, 1)]


async def test_a_batch_that_is_given_up_is_no_suspect(desk: Desk) -> None:
    begun = asyncio.Event()

    async def wait(events: object, tx: object, context: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    router = desk.router(of_logins(record(wait)))
    work = asyncio.create_task(router.handle([at(0)]))
    await begun.wait()
    assert await marks_of(desk.world) == [(0, 0, 0, 1)]

    work.cancel()
    await asyncio.gather(work, return_exceptions=True)

    assert work.cancelled()
    assert await marks_of(desk.world) == [(0, 0, 0, 0)]


async def test_what_another_process_died_in_is_handled_one_by_one_and_the_rest_as_batches(desk: Desk) -> None:
    effects = Effects()
    batch = [at(0), at(1), at(0, partition=1), at(2), at(3), at(4), at(5)]
    await Marks("usercenter", desk.database).begin(batch[3:5])  # 2 and 3, by a process that is no more

    await desk.router(of_logins(record(effects.record("first")))).handle(batch)

    assert effects.sizes == [3, 1, 1, 2]
    assert await marks_of(desk.world) == [(0, 4, 5, 0), (1, 0, 0, 0)]


async def test_a_mark_further_on_survives_that_what_lies_before_it_is_read_again(desk: Desk) -> None:
    await Marks("usercenter", desk.database).begin([at(7), at(8)])
    router = desk.router(of_logins(record(Effects().record("first"))))

    await router.handle([at(5), at(6)])

    assert await marks_of(desk.world) == [(0, 7, 8, 1)]


async def test_an_event_that_was_done_is_never_given_up_whatever_its_mark_says(desk: Desk) -> None:
    effects, batch = Effects(), [at(0)]
    router = desk.router(of_logins(record(effects.record("first"))))
    await router.handle(batch)
    for attempts in (3, 4):
        await Marks("usercenter", desk.database).begin_alone(batch[0], attempts=attempts)
        await desk.router(of_logins(record(effects.record("first")))).handle(batch)

    assert (effects.sizes, await desk.world.count("dead_letters")) == ([1], 1)
    assert await desk.world.value("select handler from dead_letters") == "decode"


async def test_marks_of_other_groups_and_of_yesterday_are_nobodys_concern(desk: Desk) -> None:
    marks = Marks("usercenter", desk.database)
    await Marks("another", desk.database).begin([at(0)])
    assert await marks.begin([at(0)]) == []
    assert await Marks("usercenter", desk.database).begin([at(0), at(1)]) == [Mark(TOPIC, 0, 0, 0, 1)]

    async with desk.database.transaction() as tx:
        await tx.execute("update batches_begun set begun_at = now() - interval '25 hours'")

    assert await marks.begin([at(0)]) == []
