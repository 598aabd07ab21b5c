"""Time limits with a shared timer: each call has its own, and a cancellation of the caller stays one."""

import asyncio

import pytest

from usercenter.messaging.calls import call
from usercenter.messaging.deadlines import Deadlines

LONG = 60.0


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


def calling(deadlines: Deadlines, seconds: float) -> asyncio.Task[None]:
    return asyncio.create_task(call(wait_for_ever, timeout_seconds=seconds, deadlines=deadlines))


async def test_each_call_is_cut_off_at_its_own_limit() -> None:
    deadlines = Deadlines()
    long, short, shorter = calling(deadlines, LONG), calling(deadlines, 0.02), calling(deadlines, 0.01)

    await asyncio.wait([shorter, short])

    for each in (shorter, short):
        assert isinstance(each.exception(), TimeoutError)
    assert not long.done()
    long.cancel()


async def test_a_limit_that_is_kept_is_forgotten_and_the_next_one_holds() -> None:
    deadlines = Deadlines()

    async def quick() -> None:
        await asyncio.sleep(0)

    await call(quick, timeout_seconds=0.01, deadlines=deadlines)

    with pytest.raises(TimeoutError):
        await call(wait_for_ever, timeout_seconds=0.02, deadlines=deadlines)


async def test_a_cancellation_of_the_caller_stays_one_even_at_the_limit() -> None:
    deadlines = Deadlines()

    async def cancelled_at_its_limit() -> None:
        try:
            await wait_for_ever()
        finally:
            task.cancel()

    task = asyncio.create_task(call(cancelled_at_its_limit, timeout_seconds=0.01, deadlines=deadlines))
    await asyncio.wait([task])

    assert task.cancelled()


async def test_what_a_call_raises_at_its_limit_comes_out() -> None:
    async def broken() -> None:
        try:
            await wait_for_ever()
        finally:
            raise ValueError("while it was cut off")

    with pytest.raises(ValueError, match="cut off"):
        await call(broken, timeout_seconds=0.01, deadlines=Deadlines())
    assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]
