"""The other side of a door, in a process of its own: started as `python -m`, it says where it listens, and counts."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec


class Counterpart:
    """A process that writes one JSON line with its ports, and another one with what it has counted for each of ours."""

    def __init__(self, process: Process, ports: list[int]) -> None:
        self._process = process
        self.ports = ports

    async def counted(self) -> dict[str, int]:
        """What has come so far."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None  # noqa: S101, PT018  # as they were asked for
        stdin.write(b"\n")
        await stdin.drain()
        return msgspec.json.decode(await stdout.readline(), type=dict[str, int])


@asynccontextmanager
async def counterpart(module: str, *arguments: str) -> AsyncIterator[Counterpart]:
    """`python -m module`, listening; ended at the end of the block."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments, stdin=PIPE, stdout=PIPE)
    try:
        assert process.stdout is not None  # noqa: S101  # as it was asked for
        ports = msgspec.json.decode(await process.stdout.readline(), type=list[int])
        yield Counterpart(process, ports)
    finally:
        process.terminate()
        await process.wait()


def say(value: object) -> None:
    """One line for whoever started this process."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


async def answer_with(count: "dict[str, int]") -> None:
    """In the other process: for each line that comes, the counts; ends with the pipe."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        say(count)
