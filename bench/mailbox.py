"""`python -m bench.mailbox`: an SMTP server that takes every mail, and counts those with different Message-IDs."""

import asyncio
import re
import socket
from typing import Any

import uvloop
from aiosmtpd.smtp import SMTP

from bench.counterpart import answer_with, say

_MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)


class _Taker:
    """What aiosmtpd calls for each mail."""

    def __init__(self) -> None:
        self.count = {"mails": 0, "different": 0}
        self._seen: set[bytes] = set()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd calls it
        """Take the mail."""
        found = _MESSAGE_ID.search(envelope.original_content)
        self._seen.add(found[1] if found else b"")
        self.count["mails"] += 1
        self.count["different"] = len(self._seen)
        return "250 OK: taken"


async def _serve() -> None:
    taker = _Taker()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(taker, hostname="localhost"), "127.0.0.1", 0)
    for each in server.sockets:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    say([server.sockets[0].getsockname()[1]])
    await answer_with(taker.count)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
