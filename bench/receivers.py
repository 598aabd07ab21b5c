"""`python -m bench.receivers QUICK SLOW SECONDS`: so many receivers of webhooks, each on a port of its own.

The first ones answer at once, the others after so many seconds. Each counts the calls that were signed and different.
"""

import asyncio
import socket
import sys
from typing import Any

import uvicorn
import uvloop

from bench.counterpart import answer_with, say


class _Receiver:
    """An ASGI application that takes signed calls."""

    def __init__(self, pause_seconds: float, count: dict[str, int], name: str) -> None:
        self._pause_seconds = pause_seconds
        self._count = count
        self._name = name
        self._seen: set[bytes] = set()
        count[name] = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        headers = dict(scope["headers"])
        if headers.get(b"webhook-signature", b"").startswith(b"v1,"):
            self._seen.add(headers[b"webhook-id"])
            self._count[self._name] = len(self._seen)
        if self._pause_seconds:
            await asyncio.sleep(self._pause_seconds)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


async def _serve(quick: int, slow: int, seconds: float) -> None:
    count: dict[str, int] = {}
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(quick + slow)]
    serving = []
    for number, listener in enumerate(listeners):
        receiver = _Receiver(seconds if number >= quick else 0.0, count, str(listener.getsockname()[1]))
        config = uvicorn.Config(receiver, loop="none", lifespan="off", log_config=None, access_log=False)
        serving.append(asyncio.create_task(uvicorn.Server(config)._serve([listener])))  # noqa: SLF001  # many, without signals of their own
    say([listener.getsockname()[1] for listener in listeners])
    await answer_with(count)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
