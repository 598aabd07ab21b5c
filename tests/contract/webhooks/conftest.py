"""A receiver of webhooks on this machine that answers as it is told to, and keeps what it got."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest


class Call(NamedTuple):
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Answers each call with the bytes in `answer`; None hangs, empty bytes close the connection."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answer: bytes | None = answered(200)
        self.port = 0
        self._is_over = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").strip().split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                self.calls.append(Call(first.split(" ")[1], headers, body))
                if self.answer is None:
                    await self._is_over.wait()
                if not self.answer:
                    return
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def end(self) -> None:
        """Let go of the calls that hang."""
        self._is_over.set()


def answered(status: int, body: bytes = b"thanks", **headers: str) -> bytes:
    """An HTTP answer."""
    lines = [f"HTTP/1.1 {status} x", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver without TLS, at `localhost`."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.end()
        server.close()
        await server.wait_closed()


@pytest.fixture
def an_answer() -> Callable[..., bytes]:
    """Makes HTTP answers."""
    return answered
