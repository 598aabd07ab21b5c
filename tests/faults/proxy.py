"""A TCP proxy of ours before a server: what a network does to connections, switched on and off while they are open.

It runs on a thread of its own, so that a test may block and the connections go on. It changes no byte: a broker before
which it stands must advertise the proxy's port (`faults/broker.py`).
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Literal, Self

HOST = "127.0.0.1"
UP, DOWN = "up", "down"
Way = Literal["up", "down"]
"""From the client to the server, and back."""

_CHUNK_BYTES = 65_536
_PIECES_UNDER_WAY = 256


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What happens to bytes on their way."""

    delay_seconds: float = 0.0
    bytes_per_second: float = 0.0
    """Of each connection in each direction; 0 is no limit."""
    swallows: frozenset[str] = frozenset()
    """The ways on which bytes vanish while the connection stays open."""
    is_held: bool = False
    """Bytes are kept back and pass when the fault is over."""
    lets_nobody_in: bool = False


@dataclass(kw_only=True)
class Trap:
    """Waits for certain bytes of a client, and then cuts that connection."""

    bytes_: bytes
    after: bytes = b""
    """Only on a connection on which these went before."""
    passes_them: bool
    """The server gets them, and its answer is lost; or not even the server hears of them."""
    has_sprung: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Stands before `127.0.0.1:port` of a server; use it as a context manager."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.port = 0
        self.connections = 0
        """How many were accepted since the start."""
        self.held_bytes = 0
        """How many bytes of clients are kept back, or were while it held them the last time."""
        self._faults = Faults()
        self._traps: list[Trap] = []
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._wait_for(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._wait_for(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"{HOST}:{self.port}"

    def cut(self) -> None:
        """End every connection and let no new one in, until `heal`."""
        self._set(Faults(lets_nobody_in=True))
        self._for_each(lambda connection: connection.end())

    def reset(self) -> None:
        """End every connection by RST; new ones are welcome."""
        self._for_each(lambda connection: connection.reset())

    def swallow(self, *ways: Way) -> None:
        """A black hole: connections stay open, new ones are accepted, and bytes of these ways (all) go nowhere."""
        self._set(Faults(swallows=frozenset(ways or (UP, DOWN))))

    def hold(self) -> None:
        """Keep every byte back; they pass at `heal`, in order."""
        self._set(Faults(is_held=True))

    def delay(self, seconds: float) -> None:
        """Each byte arrives so much later, in each direction."""
        self._set(Faults(delay_seconds=seconds))

    def slow_down(self, *, bytes_per_second: float) -> None:
        """So many bytes a second pass on each connection in each direction."""
        self._set(Faults(bytes_per_second=bytes_per_second))

    def heal(self) -> None:
        """Pass everything as it comes. What was swallowed stays lost, and its connections may be of no use."""
        self._set(Faults())

    def lose_answer_to(self, bytes_: bytes, *, after: bytes = b"") -> Trap:
        """The next time a client sends these bytes, the server gets them, and the client a reset for an answer."""
        return self._lay(Trap(bytes_=bytes_, after=after, passes_them=True))

    def lose(self, bytes_: bytes, *, after: bytes = b"") -> Trap:
        """The next time a client sends these bytes, its connection is reset before the server sees them."""
        return self._lay(Trap(bytes_=bytes_, after=after, passes_them=False))

    def trap_for(self, data: bytes, seen: set[bytes]) -> Trap | None:
        """The trap that these bytes of a client spring, if there is one; it springs once.

        `seen` keeps what went before on this connection, as far as traps ask for it.
        """
        for trap in self._traps:
            if trap.after and trap.after in data:
                seen.add(trap.after)
            if trap.bytes_ in data and (not trap.after or trap.after in seen):
                self._traps.remove(trap)
                return trap
        return None

    @property
    def faults(self) -> Faults:
        """What is wrong now."""
        return self._faults

    def _lay(self, trap: Trap) -> Trap:
        self._loop.call_soon_threadsafe(self._traps.append, trap)
        return trap

    def _set(self, faults: Faults) -> None:
        self._wait_for(self._change(faults))

    async def _change(self, faults: Faults) -> None:
        self.held_bytes = 0 if faults.is_held else self.held_bytes
        self._faults = replace(faults)
        for connection in self._open:
            connection.note(faults)

    def _for_each(self, act: "Callable[[_Connection], None]") -> None:
        async def all_of_them() -> None:
            for connection in [*self._open]:
                act(connection)

        self._wait_for(all_of_them())

    def _wait_for(self, step: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}  # the connections, and what each of them had begun
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close in the loop's next turn

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = _Connection(self, reader, writer)
        self._open.add(connection)
        try:
            if not self._faults.lets_nobody_in:
                await connection.run()
        except OSError:
            pass  # one of both is gone, and so is the connection
        finally:
            self._open.discard(connection)
            connection.end()


class _Connection:
    """One client with its connection to the server."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = (reader, writer)
        self._writers = [writer]
        self._dies_with_next_answer = False
        self._seen: set[bytes] = set()
        self._may_flow = asyncio.Event()
        self.note(proxy.faults)

    async def run(self) -> None:
        """Carry bytes until one side ends."""
        server = await asyncio.open_connection(HOST, self._proxy.server_port)
        self._writers.append(server[1])
        ways = [self._carry(UP, self._client[0], server[1]), self._carry(DOWN, server[0], self._client[1])]
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def note(self, faults: Faults) -> None:
        """The faults have changed."""
        if faults.is_held:
            self._may_flow.clear()
        else:
            self._may_flow.set()

    def end(self) -> None:
        """Close both sides."""
        for writer in self._writers:
            writer.close()

    def reset(self) -> None:
        """Close both sides as a crash does: whatever was under way is gone."""
        for writer in self._writers:
            plain: socket.socket | None = writer.get_extra_info("socket")
            if plain is not None and plain.fileno() >= 0:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _carry(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Two steps, so that a delay adds to the time of each byte and not to the distance between two."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_PIECES_UNDER_WAY)
        sending = asyncio.ensure_future(self._send(under_way, writer))
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if way == DOWN and self._dies_with_next_answer:
                    self.reset()
                    return
                trap = self._proxy.trap_for(data, self._seen) if way == UP else None
                if trap and not await self._springs(trap):
                    return
                if way not in self._proxy.faults.swallows:
                    self._proxy.held_bytes += len(data) if way == UP and self._proxy.faults.is_held else 0
                    due = asyncio.get_running_loop().time() + self._proxy.faults.delay_seconds
                    await under_way.put((due, data))
        finally:
            if not sending.done() and way == DOWN:
                await self._flush(under_way, sending)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _springs(self, trap: Trap) -> bool:
        """Whether the bytes go on to the server."""
        trap.has_sprung.set()
        if trap.passes_them:
            self._dies_with_next_answer = True
            return True
        self.reset()
        return False

    async def _flush(self, under_way: "asyncio.Queue[tuple[float, bytes]]", sending: "asyncio.Future[None]") -> None:
        """The server has said its last word: the client gets to hear it."""
        joining = asyncio.ensure_future(under_way.join())
        await asyncio.wait({joining, sending}, timeout=1, return_when=asyncio.FIRST_COMPLETED)
        joining.cancel()

    async def _send(self, under_way: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._may_flow.wait()
            if rate := self._proxy.faults.bytes_per_second:
                await asyncio.sleep(len(data) / rate)
            writer.write(data)
            await writer.drain()
            under_way.task_done()
