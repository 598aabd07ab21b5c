"""Ports on 127.0.0.1: the usual one first, a free one where it is taken."""

import secrets
import socket
from collections.abc import Iterator

HOST = "127.0.0.1"
FREE_RANGE = range(20_000, 32_000)
"""Below the range from which systems hand out ports for outgoing connections: otherwise a client that keeps trying a
stopped server can be given that very port as its own, and the server cannot come back."""
SPARE_PORTS = 4


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def candidates(usual: int) -> Iterator[int]:
    """The usual port if it is free, then some free ones: another program may take any of them in between."""
    if is_free(usual):
        yield usual
    for _ in range(SPARE_PORTS):
        yield any_free()


def any_free() -> int:
    """A port at random that nobody listens on now."""
    while True:
        port = secrets.choice(FREE_RANGE)
        if is_free(port):
            return port
