"""Loops that run for the life of a process."""

import asyncio

from harness import eventually

from usercenter.supervision import Loops


async def test_work_that_fails_is_begun_again_and_told_while_it_lasts() -> None:
    loops, beginnings = Loops(), []
    is_mended = asyncio.Event()

    async def work() -> None:
        beginnings.append(None)
        if len(beginnings) == 1:
            raise RuntimeError("first time")
        await is_mended.wait()

    loops.keep("work", work)
    assert await eventually(loops.problems, what="the problem") == ["work failed: RuntimeError"]
    await eventually(lambda: len(beginnings) == 2, what="the second beginning")
    assert loops.problems() == []
    await loops.close()


async def test_a_loop_that_is_cancelled_has_ended_when_that_returns() -> None:
    loops, ended = Loops(), []
    is_running = asyncio.Event()

    async def work() -> None:
        try:
            is_running.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(ended.append, None)

    loops.keep("work", work)
    await is_running.wait()
    await loops.cancel("work")
    assert len(ended) == 1
    await loops.cancel("work")
    await loops.close()


async def test_the_failure_of_one_leaves_the_others_alone() -> None:
    loops, is_running = Loops(), asyncio.Event()

    async def fail() -> None:
        raise RuntimeError("again and again")

    async def go_on() -> None:
        is_running.set()
        await asyncio.Event().wait()

    loops.keep("failing", fail)
    loops.keep("going on", go_on)
    await eventually(loops.problems, what="the problem")
    assert is_running.is_set()
    await loops.close()
