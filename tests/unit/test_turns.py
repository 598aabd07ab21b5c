"""Whose turn it is among the workers of a test run, and that a secret which a worker found fails the run."""

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from harness import eventually
from turns import USUAL_PORTS, Turns, usual_ports_taken

from usercenter.embedded.ports import is_free

TESTS = Path(__file__).parents[1]
LEAK = """
from canaries import CANARIES

def test_a_secret_is_said():
    CANARIES.keep("password", "correct-horse-battery")
    CANARIES.hear("the log", "somebody said correct-horse-battery")
"""


class Worker:
    """Wants a turn, in a thread; knows whether it has it."""

    def __init__(self, turn: AbstractContextManager[None]) -> None:
        self.is_in = False
        self._may_leave = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._work = asyncio.create_task(asyncio.to_thread(self._take, turn))

    async def goes_in(self) -> None:
        await eventually(lambda: self.is_in, what="the turn")

    async def leave(self) -> None:
        self._may_leave.set()
        await self._work

    def _take(self, turn: AbstractContextManager[None]) -> None:
        with turn:
            self.is_in = True
            asyncio.run_coroutine_threadsafe(self._may_leave.wait(), self._loop).result()
            self.is_in = False


Wants = Callable[[bool], Worker]


@pytest.fixture
def wants(tmp_path: Path) -> Wants:
    """A worker that wants a turn, alone or beside others."""
    return lambda alone: Worker(Turns(tmp_path).taken(alone=alone))


async def test_most_tests_run_beside_each_other(wants: Wants) -> None:
    one, other = wants(False), wants(False)
    await one.goes_in()
    await other.goes_in()
    await one.leave()
    await other.leave()


async def test_one_that_wants_to_be_alone_waits_for_the_others_and_nobody_goes_in_before_it(
    wants: Wants, tmp_path: Path
) -> None:
    one = wants(False)
    await one.goes_in()
    alone = wants(True)
    await eventually(lambda: is_locked(tmp_path / "door"), what="somebody who waits in the door")
    late = wants(False)
    assert not alone.is_in
    assert not late.is_in

    await one.leave()
    await alone.goes_in()
    assert not late.is_in

    await alone.leave()
    await late.goes_in()
    await late.leave()


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_nobody_gets_a_usual_port_while_several_workers_run() -> None:
    with usual_ports_taken():
        assert not any(is_free(port) for port in USUAL_PORTS)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_secret_that_was_said_fails_the_run(tmp_path: Path, workers: str) -> None:
    (tmp_path / "test_planted.py").write_text(LEAK)
    plugins = [word for each in ("conftest", "xdist", "asyncio", "no:cacheprovider") for word in ("-p", each)]
    done = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, "-m", "pytest", *plugins, "-n", workers, "."],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(TESTS), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "secrets were said:\n  password in the log" in done.stdout
