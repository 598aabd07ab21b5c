"""uvicorn, held by us: bound before it serves, and stopped by us and not by signals of its own."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import uvicorn
from uuid_utils import uuid7
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from usercenter.config.model import Server as Settings

_BACKLOG: Final = 1024
_HELD_BYTES: Final = 65_536


class PortTaken(Exception):
    """Another program listens on the port that the service is to use."""


class _Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # whoever runs the process decides what a signal means


class _Joining(asyncio.Transport):
    """What is written in one turn of the event loop goes out in one piece.

    uvicorn writes the head of an answer and its body one after the other, and uvloop sends each at once: a system call
    and a packet more for each answer, and a client that wakes up for half of one.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] = []
        self._held_bytes = 0

    def write(self, data: Any) -> None:
        """Send it at the end of this turn, or at once when much has come together."""
        if not self._held:
            asyncio.get_running_loop().call_soon(self._flush)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > _HELD_BYTES:
            self._flush()

    def close(self) -> None:
        """Send what is held, and close."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def _flush(self) -> None:
        held, self._held, self._held_bytes = self._held, [], 0
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))


class _Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # whichever parser is installed
    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(_Joining(transport))

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP reaches no application, and is still told like every error."""
        self.transport.write(_no_http(msg.rstrip(".")))
        self.transport.close()


def _no_http(reason: str) -> bytes:
    request_id = str(uuid7())
    message = f"this is no HTTP that can be read: {reason}"
    body = {
        "type": "urn:usercenter:problem:no_http",
        "title": "Bad Request",
        "status": 400,
        "detail": message,
        "instance": "",
        "error": "no_http",
        "message": message,
        "code": 400,
        "request_id": request_id,
    }
    content = msgspec.json.encode(body)
    head = (
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\n"
        f"X-Request-Id: {request_id}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content


class HttpServer:
    """An ASGI application on a TCP port."""

    def __init__(self, application: Any, settings: Settings, *, port: int, setting: str = "port") -> None:
        """Holds the port from now on. `setting` is the one below `server` that says which. Raises PortTaken."""
        self._socket = _bind(settings.host, port, setting)
        self._server = _Quiet(
            uvicorn.Config(
                application,
                http=_Protocol,
                loop="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=settings.trusted_proxies,
                timeout_graceful_shutdown=settings.stop_seconds,
                backlog=_BACKLOG,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it really listens on."""
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    async def start(self) -> None:
        """Accept connections from now on. Raises what keeps the server from starting."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="http")
        while not self._server.started and not self._task.done():  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.005)
        if self._task.done():
            await self._task

    async def stop(self) -> None:
        """Accept nothing new, answer what was asked, bounded by `server.stop_seconds`. May be called twice."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


def _bind(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with the protocol said, asyncio sets TCP_NODELAY: else each answer waits 40 ms for the client's delayed ACK
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)  # a port that is only bound can be bound by somebody else as well
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"{host}:{port} cannot be used ({error.strerror}): stop what listens there, or give this process a port of "
            f"its own, say USERCENTER_SERVER__{setting.upper()}=8090 (0 takes a free one, which the log line "
            "service.started names)"
        ) from error
    listener.set_inheritable(False)
    return listener
