"""The proxy does to connections what it says."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from faults.proxy import DOWN, HOST, Proxy
from harness import eventually


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """A server that answers every line with itself; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            heard.append(line)
            writer.write(line)
        writer.close()

    heard.clear()
    server = await asyncio.start_server(answer, HOST, 0, limit=1_000_000)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for _, writer in clients:
        writer.close()
    clients.clear()


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]

heard: list[bytes] = []
clients: list[Client] = []


async def test_bytes_pass_unchanged(echo: int) -> None:
    with Proxy(echo) as proxy:
        assert await asked(await connected(proxy), b"a" * 200_000 + b"\n") == b"a" * 200_000 + b"\n"


async def test_a_cut_ends_connections_and_lets_nobody_in_until_it_is_healed(echo: int) -> None:
    with Proxy(echo) as proxy:
        before = await connected(proxy)
        await asked(before, b"hello\n")
        proxy.cut()
        assert await before[0].read() == b""
        assert await (await connected(proxy))[0].read() == b""
        proxy.heal()
        assert await asked(await connected(proxy), b"hello\n") == b"hello\n"


async def test_a_reset_is_seen_as_one(echo: int) -> None:
    with Proxy(echo) as proxy:
        before = await connected(proxy)
        await asked(before, b"hello\n")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await before[0].read()


async def test_a_black_hole_takes_connections_and_says_nothing(echo: int) -> None:
    with Proxy(echo) as proxy:
        before = await connected(proxy)
        await asked(before, b"hello\n")
        proxy.swallow()
        for each in (before, await connected(proxy)):
            each[1].write(b"hello?\n")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(each[0].readline(), 0.1)
        assert b"hello?\n" not in heard


async def test_an_answer_alone_can_be_swallowed(echo: int) -> None:
    with Proxy(echo) as proxy:
        client = await connected(proxy)
        proxy.swallow(DOWN)
        client[1].write(b"hello?\n")
        await eventually(lambda: b"hello?\n" in heard, what="the question")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client[0].readline(), 0.1)


async def test_what_is_held_arrives_when_the_proxy_is_healed(echo: int) -> None:
    with Proxy(echo) as proxy:
        client = await connected(proxy)
        await asked(client, b"hello\n")
        proxy.hold()
        client[1].write(b"held\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client[0].readline(), 0.1)
        assert b"held\n" not in heard
        proxy.heal()
        assert await client[0].readline() == b"held\n"


@pytest.mark.alone
async def test_a_delay_is_added_to_each_way_and_not_to_each_piece(echo: int) -> None:
    with Proxy(echo) as proxy:
        client = await connected(proxy)
        proxy.delay(0.1)
        began = time.monotonic()
        for number in range(5):
            client[1].write(b"%d\n" % number)
            await client[1].drain()
        assert [await client[0].readline() for _ in range(5)] == [b"%d\n" % number for number in range(5)]
        assert 0.2 <= time.monotonic() - began < 0.6


async def test_a_slow_line_takes_its_time(echo: int) -> None:
    with Proxy(echo) as proxy:
        client = await connected(proxy)
        proxy.slow_down(bytes_per_second=1_000)
        began = time.monotonic()
        await asked(client, b"a" * 99 + b"\n")
        assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("arrives", [True, False])
async def test_the_answer_to_certain_bytes_is_lost_with_the_connection(echo: int, *, arrives: bool) -> None:
    with Proxy(echo) as proxy:
        client = await connected(proxy)
        trap = proxy.lose_answer_to(b"COMMIT") if arrives else proxy.lose(b"COMMIT")
        await asked(client, b"BEGIN\n")
        client[1].write(b"COMMIT\n")
        with pytest.raises(ConnectionResetError):
            await client[0].readline()
        assert trap.has_sprung.is_set()
        assert (b"COMMIT\n" in heard) is arrives
        assert await asked(await connected(proxy), b"COMMIT\n") == b"COMMIT\n"  # it springs once


async def connected(proxy: Proxy) -> Client:
    """A client's connection."""
    clients.append(await asyncio.open_connection(HOST, proxy.port, limit=1_000_000))
    return clients[-1]


async def asked(client: Client, line: bytes) -> bytes:
    """The answer to a line."""
    client[1].write(line)
    return await asyncio.wait_for(client[0].readline(), 5)
