"""Connections to addresses that were looked at: resolve, check every address, and connect to a checked one.

The name is resolved once, and what is connected to is the address, so a name that means something else a moment later
gains nothing. TLS and the Host header still use the name.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

import httpcore

from usercenter.webhooks.addresses import is_allowed, is_public

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host name and a port to its IP addresses; raises OSError when there are none."""


class AddressRefused(Exception):
    """The host has an address that must not be called; nothing was sent."""


async def resolve(host: str, port: int) -> list[str]:
    """What the system's resolver says, in its order; raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Opens TCP connections for httpcore, to public addresses and to hosts that are allowed by name.

    `network` dials; it gets addresses alone, never a name.
    """

    def __init__(
        self,
        allowed_hosts: Collection[str],
        *,
        resolve: Resolve = resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allowed_hosts = allowed_hosts
        self._resolve = resolve
        self._network = network or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the name that httpcore gives it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address that answers. Raises AddressRefused if any of them is not public."""
        failure = httpcore.ConnectError("the host name has no address")
        for address in await self._checked(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                failure = error
        raise failure

    async def _checked(self, host: str, port: int) -> Sequence[str]:
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"the host name cannot be resolved: {error.strerror or error}") from error
        if not is_allowed(host, self._allowed_hosts) and not all(map(is_public, addresses)):
            raise AddressRefused(
                "the host name leads to an address that is not on the open Internet: nothing was sent; "
                "the operator can allow the host in webhooks.allowed_hosts"
            )
        return addresses
