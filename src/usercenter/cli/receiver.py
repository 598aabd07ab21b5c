"""A receiver of webhooks, as another system would have one: it checks the signature and keeps what it got."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec


class Call(NamedTuple):
    """One call that came in."""

    headers: dict[str, str]
    body: bytes
    is_signed: bool

    @property
    def event(self) -> dict[str, str]:
        """The event that it brought."""
        return msgspec.json.decode(self.body, type=dict)


class Receiver:
    """Listens on loopback; `secret` is what the webhook was created with."""

    def __init__(self) -> None:
        self.secret = ""
        self.calls: list[Call] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request and say 204."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:]) if name}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.calls.append(Call(headers, body, self._is_signed(headers, body)))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    def _is_signed(self, headers: dict[str, str], body: bytes) -> bool:
        """As https://www.standardwebhooks.com tells receivers to check."""
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        signed = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
        wanted = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return any(hmac.compare_digest(wanted, given) for given in headers.get("webhook-signature", "").split())


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a free port of this machine, until the end of the block."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver
