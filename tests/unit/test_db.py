"""What a database's error means, and how one part of a process wakes another."""

import asyncio

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from usercenter.db import DatabaseUnavailable, OutcomeUnknown, Signal, is_lost, is_transient

LOST = (
    psycopg.OperationalError("connection refused"),
    psycopg.InterfaceError("the connection is closed"),
    PoolTimeout("couldn't get a connection"),
    psycopg.errors.AdminShutdown(),
    psycopg.errors.CannotConnectNow(),
    psycopg.errors.TooManyConnections(),
    psycopg.errors.IdleInTransactionSessionTimeout(),
    psycopg.errors.ReadOnlySqlTransaction(),
)
TO_BE_REPEATED = (
    psycopg.errors.SerializationFailure(),
    psycopg.errors.DeadlockDetected(),
    psycopg.errors.LockNotAvailable(),
    psycopg.errors.QueryCanceled(),
)
ABOUT_THE_DATA = (
    psycopg.errors.UniqueViolation(),
    psycopg.errors.NumericValueOutOfRange(),
    psycopg.errors.UndefinedTable(),
    ValueError("no database at all"),
)


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_a_lost_connection_is_told_from_all_else(error: Exception) -> None:
    assert is_lost(error)
    assert is_transient(error)


UNAVAILABLE = (DatabaseUnavailable(), OutcomeUnknown())


@pytest.mark.parametrize("error", [*TO_BE_REPEATED, *UNAVAILABLE], ids=lambda error: type(error).__name__)
def test_what_may_pass_is_repeated(error: Exception) -> None:
    assert is_transient(error)
    assert not is_lost(error)


@pytest.mark.parametrize("error", ABOUT_THE_DATA, ids=lambda error: type(error).__name__)
def test_what_is_wrong_with_the_data_is_not_repeated(error: Exception) -> None:
    assert not is_transient(error)
    assert not is_lost(error)


async def test_a_signal_set_twice_wakes_once() -> None:
    signal = Signal()
    signal.set()
    signal.set()
    assert await signal.wait(0)
    assert not await signal.wait(0)


async def test_a_signal_wakes_who_waits_already() -> None:
    signal = Signal()
    waiting = asyncio.create_task(signal.wait(10))
    await asyncio.wait([waiting], timeout=0.01)
    assert not waiting.done()
    signal.set()
    assert await waiting
