"""The HTTP server itself, with small applications on it."""

import asyncio
import json
import socket
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from usercenter.config.model import Server
from usercenter.server import HttpServer, PortTaken

SETTINGS = Server(port=0, stop_seconds=1)


class Greeting:
    """Answers in two pieces, as web frameworks do, after `is_open` was set."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.has_begun, self.is_open = asyncio.Event(), asyncio.Event()
        self.was_cancelled = False
        if is_open:
            self.is_open.set()

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        self.has_begun.set()
        try:
            await self.is_open.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})


@asynccontextmanager
async def serving(application: Any) -> AsyncIterator[tuple[HttpServer, httpx.AsyncClient]]:
    server = HttpServer(application, SETTINGS, port=0)
    await server.start()
    host, port = server.address
    try:
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=10) as client:
            yield server, client
    finally:
        await server.stop()


async def test_it_answers_on_a_free_port():
    async with serving(Greeting()) as (server, client):
        assert server.address[1] > 0
        assert (await client.get("/")).text == "hello"


@pytest.mark.alone
async def test_an_answer_in_pieces_does_not_wait_for_the_clients_acknowledgement():
    async with serving(Greeting()) as (_, client):
        seconds = []
        for _ in range(20):
            began = time.perf_counter()
            await client.get("/")
            seconds.append(time.perf_counter() - began)

    assert statistics.median(seconds) < 0.03  # a delayed acknowledgement takes 40 ms


async def test_a_port_in_use_is_named_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{port} cannot be used .*USERCENTER_SERVER__PORT"):
            HttpServer(Greeting(), SETTINGS, port=port)


async def test_a_port_is_held_before_anything_is_answered_there():
    first = HttpServer(Greeting(), SETTINGS, port=0)
    try:
        with pytest.raises(PortTaken):
            HttpServer(Greeting(), SETTINGS, port=first.address[1])
    finally:
        await first.stop()


async def test_stop_waits_for_an_answer_that_is_under_way():
    application = Greeting(is_open=False)
    async with serving(application) as (server, client):
        asked = asyncio.create_task(client.get("/"))
        await application.has_begun.wait()
        stopping = asyncio.create_task(server.stop())
        application.is_open.set()

        assert (await asked).text == "hello"
        await stopping


async def test_stop_does_not_wait_for_ever():
    application = Greeting(is_open=False)
    async with serving(application) as (server, client):
        asked = asyncio.create_task(client.get("/"))
        await application.has_begun.wait()
        began = time.monotonic()
        await server.stop()

        assert time.monotonic() - began < 5
        assert application.was_cancelled
        with pytest.raises(httpx.HTTPError):
            (await asked).raise_for_status()


async def test_stop_may_be_called_twice():
    async with serving(Greeting()) as (server, _):
        await server.stop()
        await server.stop()


async def test_a_stopped_server_refuses_connections():
    async with serving(Greeting()) as (server, client):
        await server.stop()
        with pytest.raises(httpx.ConnectError):
            await client.get("/")


async def test_what_is_no_http_is_told_like_every_error():
    async with serving(Greeting()) as (server, _):
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nX-Nul: \x00\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()

    problem = json.loads(body)
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"Content-Type: application/problem+json" in head
    assert (problem["error"], problem["code"]) == ("no_http", 400)
    assert problem["request_id"].encode() in head
