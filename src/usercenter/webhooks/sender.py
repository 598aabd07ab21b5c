"""One HTTP call to a receiver: only where it may go, bounded in time and size, and no redirect followed."""

import asyncio
import ssl
import time
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit
from zlib import crc32

import httpcore

from usercenter import __version__
from usercenter.clock import Clock
from usercenter.config.model import Webhooks as Settings
from usercenter.tracing import NOTHING, UNTRACED, Attributes, Span, Tracing
from usercenter.webhooks.addresses import fault_of
from usercenter.webhooks.model import Outcome
from usercenter.webhooks.network import AddressRefused, CheckedNetwork

ANSWER_BYTES: Final = 4_096
"""How much of an answer is read and kept."""
_POOLS: Final = 64  # a pool looks at each of its connections for each call: those of others must not be among them
_LONGEST_PAUSE_SECONDS: Final = 86_400.0
_LONGEST_ERROR: Final = 300
_HEADERS: Final = {"content-type": "application/json", "user-agent": f"usercenter/{__version__}"}


class _Reply:
    """What has come of an answer so far: a status counts even if the rest of the answer never comes."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.retry_after = ""
        self.body = bytearray()

    async def read(self, response: httpcore.Response) -> None:
        self.status = response.status
        headers = {name.lower(): value for name, value in response.headers}
        self.retry_after = headers.get(b"retry-after", b"").decode("latin-1").strip()
        async with aclosing(response.aiter_stream()) as chunks:  # type: ignore[type-var]  # an async generator
            async for chunk in chunks:
                self.body += chunk[: ANSWER_BYTES - len(self.body)]
                if len(self.body) >= ANSWER_BYTES:
                    return

    def text(self) -> str | None:
        """The answer as PostgreSQL can keep it."""
        return self.body.decode(errors="replace").replace("\x00", "\N{REPLACEMENT CHARACTER}") or None


class Sender:
    """Sends; may be shared by all webhooks. The network and the trusted authorities are the system's unless given."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        network: CheckedNetwork | None = None,
        ssl_context: ssl.SSLContext | None = None,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._tracing = tracing
        self._ssl_context = ssl_context or ssl.create_default_context()
        self._network = network or CheckedNetwork(settings.allowed_hosts)
        self._pools: dict[int, httpcore.AsyncConnectionPool] = {}

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Send once, and say what came of it; raises nothing that the receiver could cause."""
        started = time.perf_counter()
        reply = _Reply()
        with self._span(url) as span:
            error = await self._exchange(url, headers, body, reply)
            if reply.status:
                span.tell({"http.response.status_code": reply.status})
            if failure := _kind_of_failure(reply.status):
                span.fail(failure)
        return Outcome(
            status=reply.status,
            answer=reply.text(),
            error=_meaning(reply.status) if reply.status else error,
            retry_after_seconds=retry_after_seconds(reply.retry_after, self._clock.now()),
            took_ms=round((time.perf_counter() - started) * 1000),
        )

    async def close(self) -> None:
        """Let go of every connection. May be called twice."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.aclose()

    def _pool_of(self, url: str) -> httpcore.AsyncConnectionPool:
        """That of the receiver's host and port, which few others share."""
        number = crc32(urlsplit(url).netloc.encode()) % _POOLS
        if number not in self._pools:
            self._pools[number] = httpcore.AsyncConnectionPool(
                ssl_context=self._ssl_context,
                max_connections=None,
                max_keepalive_connections=self._settings.concurrent_per_receiver,
                keepalive_expiry=5.0,
                network_backend=self._network,
            )
        return self._pools[number]

    def _span(self, url: str) -> Span:
        """Says the host and nothing else of the address, for there may be a secret in the rest of it."""
        if not self._tracing.is_on:
            return NOTHING
        place = urlsplit(url)
        attributes: Attributes = {
            "http.request.method": "POST",
            "server.address": place.hostname or "",
            "server.port": place.port or (80 if place.scheme == "http" else 443),
        }
        return self._tracing.span("POST", "client", attributes=attributes)

    async def _exchange(self, url: str, headers: Mapping[str, str], body: bytes, reply: _Reply) -> str | None:
        if fault := fault_of(url, self._settings.allowed_hosts):
            return f"the URL {fault}"
        sent = list({**_HEADERS, **headers}.items())
        try:
            async with (
                asyncio.timeout(self._settings.timeout_seconds),
                self._pool_of(url).stream("POST", url, headers=sent, content=body) as response,
            ):
                await reply.read(response)
        except (TimeoutError, httpcore.TimeoutException):
            return f"no answer within {self._settings.timeout_seconds} s"
        except AddressRefused as error:
            return str(error)
        except httpcore.ConnectError as error:
            return _shortened(f"no connection: {error}")
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            return _shortened(f"the connection broke before an answer came: {error}")
        return None


def retry_after_seconds(value: str, now: datetime) -> float | None:
    """How long the receiver wants to be left alone, by its Retry-After header (seconds or a date); a day at most."""
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_PAUSE_SECONDS)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(0.0, (until - now).total_seconds()), _LONGEST_PAUSE_SECONDS)


def _kind_of_failure(status: int | None) -> str | None:
    if status is None:
        return "no_answer"
    return None if 200 <= status < 300 else str(status)


def _meaning(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"answered {status}: redirects are not followed, set the webhook's URL to where it moved"
    return f"answered {status}"


def _shortened(text: str) -> str:
    return text[:_LONGEST_ERROR]
