"""That free memory goes back to the system: seen in a process of its own, for the settings are the process's."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from usercenter import memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4
listened = memory.keep_little(is_hashing=False)
bytearray(30_000_000)  # what glibc learns from by itself
before = resident()
for _ in range(3):
    lists = [bytearray(200_000) for _ in range(300)]
    kept = lists[-1]
    del lists
print(listened, resident() - before)
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


def told(program: str = PROGRAM, **environment: str) -> list[str]:
    done = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@glibc
def test_large_blocks_go_back_although_a_later_one_is_kept() -> None:
    listened, kilobytes = told()

    assert listened == "True"
    assert int(kilobytes) < 10_000


@glibc
def test_a_setting_in_the_environment_is_left_as_it_is() -> None:
    assert told(MALLOC_ARENA_MAX="8")[0] == "False"


@glibc
def test_a_process_that_hashes_keeps_its_large_blocks() -> None:
    _, kilobytes = told(PROGRAM.replace("is_hashing=False", "is_hashing=True"))

    assert int(kilobytes) > 30_000


@glibc
def test_what_is_free_between_others_goes_back_when_it_is_told_to() -> None:
    program = """
from usercenter import memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4
blocks = [bytearray(20_000) for _ in range(3_000)]
kept = blocks[::100]
del blocks
before = resident()
memory.give_back()
print(True, before - resident())
"""
    _, kilobytes = told(program)

    assert int(kilobytes) > 30_000
