"""Calling handlers: what they raise concerns their own call, and a cancellation of the caller stays one."""

import asyncio

import pytest

from usercenter.messaging.calls import HandlerBroke, call


class Panic(BaseException):
    """What some extension modules raise."""


def raising(error: BaseException):
    async def handler() -> None:
        raise error

    return handler


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("error", [Panic(), SystemExit(1), asyncio.CancelledError()], ids=repr)
async def test_what_is_no_exception_becomes_one(error: BaseException) -> None:
    with pytest.raises(HandlerBroke, match=type(error).__name__):
        await call(raising(error))


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), TimeoutError("its own")], ids=repr)
async def test_what_is_one_passes_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        await call(raising(error))
    assert caught.value is error


async def test_a_function_that_cannot_be_awaited_is_a_failure() -> None:
    with pytest.raises(TypeError):
        await call(lambda: None)  # type: ignore[arg-type, return-value]


async def test_a_call_that_takes_too_long_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        await call(wait_for_ever, timeout_seconds=0.01)


async def test_a_cancellation_of_the_caller_stays_one() -> None:
    calling = asyncio.create_task(call(wait_for_ever))
    await asyncio.sleep(0)
    calling.cancel()

    await asyncio.wait([calling])
    assert calling.cancelled()
