"""A batch between the consumer's thread and the event loop."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from harness import eventually

from usercenter.db import DatabaseUnavailable
from usercenter.messaging.batch import Received
from usercenter.messaging.commits import moment_of
from usercenter.messaging.delivery import Deliveries
from usercenter.messaging.stops import Stopped


def message(partition: int, offset: int) -> Received:
    return Received("events", partition, offset, b"key", b"{}", {})


BATCH = [message(0, 5), message(1, 40), message(0, 6), message(1, 42)]


async def succeed(batch: Sequence[Received]) -> None:
    pass


async def test_a_handled_batch_says_where_each_partition_begins_and_goes_on() -> None:
    delivery = Deliveries("group", succeed).begin(BATCH)
    assert await asyncio.to_thread(delivery.ends_within, 10)
    assert delivery.is_handled
    assert {(each.partition, each.offset) for each in delivery.starts()} == {(0, 5), (1, 40)}
    moment = datetime(2026, 11, 24, 12, tzinfo=UTC)
    ends = delivery.ends(moment)
    assert {(each.partition, each.offset) for each in ends} == {(0, 7), (1, 43)}
    assert {moment_of(each.metadata) for each in ends} == {moment}


async def test_it_concerns_the_partitions_of_its_messages() -> None:
    delivery = Deliveries("group", succeed).begin([message(0, 5)])
    await asyncio.to_thread(delivery.ends_within, 10)
    assert delivery.concerns(Deliveries("group", succeed).begin(BATCH).starts())
    assert not delivery.concerns(Deliveries("group", succeed).begin([message(1, 5)]).starts())


async def test_one_that_was_given_up_has_ended_only_when_its_coroutine_has() -> None:
    is_running, is_unwinding, may_unwind = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def unwind_slowly(batch: Sequence[Received]) -> None:
        try:
            is_running.set()
            await asyncio.Event().wait()
        finally:
            is_unwinding.set()
            await may_unwind.wait()

    delivery = Deliveries("group", unwind_slowly).begin(BATCH)
    await is_running.wait()
    delivery.give_up()
    await is_unwinding.wait()
    assert delivery.was_given_up
    assert not delivery.is_handled
    assert not await asyncio.to_thread(delivery.ends_within, 0.05)
    may_unwind.set()
    assert await asyncio.to_thread(delivery.ends_within, 10)
    assert not delivery.is_handled


async def test_a_batch_that_fails_is_tried_until_it_works_and_the_problem_is_over() -> None:
    errors: list[Exception] = [DatabaseUnavailable("PostgreSQL is not there"), ValueError("ada@example.com")]
    problems: list[str | None] = []
    deliveries: Deliveries

    async def fail_twice(batch: Sequence[Received]) -> None:
        problems.append(deliveries.problem)
        if errors:
            raise errors.pop(0)

    deliveries = Deliveries("group", fail_twice)
    delivery = deliveries.begin(BATCH)
    assert await asyncio.to_thread(delivery.ends_within, 10)
    assert problems == [None, "a batch waits: PostgreSQL is not there", "a batch waits: ValueError"]
    assert deliveries.problem is None


async def test_after_the_stop_a_batch_that_fails_is_not_tried_again() -> None:
    async def fail(batch: Sequence[Received]) -> None:
        raise ValueError("always")

    deliveries = Deliveries("group", fail)
    delivery = deliveries.begin(BATCH)
    await eventually(lambda: deliveries.problem, what="the first failure")
    deliveries.stop()
    assert await asyncio.to_thread(delivery.ends_within, 10)
    assert not delivery.is_handled
    assert not delivery.was_given_up


async def test_a_group_that_has_stopped_says_why_and_what_to_do() -> None:
    async def refuse(batch: Sequence[Received]) -> None:
        raise Stopped("stopped, because 50 dead letters in a row; mend it, then run `usercenter groups resume group`")

    deliveries = Deliveries("group", refuse)
    delivery = deliveries.begin(BATCH)
    await eventually(lambda: deliveries.problem, what="a problem")
    assert deliveries.problem == (
        "a batch waits: stopped, because 50 dead letters in a row; mend it, then run `usercenter groups resume group`"
    )
    deliveries.stop()
    assert await asyncio.to_thread(delivery.ends_within, 10)
    assert not delivery.is_handled
