"""A process dies at the moment that it was told to, and nowhere else."""

import signal
import subprocess
import sys

import pytest

from usercenter.points import POINTS, reached


def outcome(wish: str, *passed: str) -> subprocess.CompletedProcess[str]:
    calls = "; ".join(f"reached({point!r})" for point in passed)
    return subprocess.run(  # noqa: S603  # our own interpreter, our own words
        [sys.executable, "-c", f"from usercenter.points import reached; {calls}; print('alive')"],
        env={"USERCENTER_DIE_AT": wish, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_the_variable_every_moment_passes():
    for point in POINTS:
        reached(point)


def test_it_dies_at_the_named_moment_as_by_sigkill():
    died = outcome("batch.committed", "relay.sent", "batch.committed")
    assert (died.returncode, died.stdout) == (-signal.SIGKILL, "")
    assert "batch.committed" in died.stderr


def test_it_dies_the_nth_time_only():
    assert outcome("task.done:3", "task.done", "task.done").stdout == "alive\n"
    assert outcome("task.done:3", *["task.done"] * 3).returncode == -signal.SIGKILL


@pytest.mark.parametrize("wish", ["nowhere", "task.done:soon"])
def test_a_wish_that_means_nothing_says_which_moments_there_are(wish):
    refused = outcome(wish, "task.done")
    assert refused.returncode == 1
    assert "choose one of outbox.added" in refused.stderr
