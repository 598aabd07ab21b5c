"""Workers of one run (`pytest -n 2`) on one machine: whose turn it is, and which ports nobody gets.

Most tests run beside those of the other workers. One that compares times has the machine to itself (the mark `alone`):
it waits until the others have ended the test that they are at, and they wait for its end.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from usercenter.embedded.kafka import Kafka
from usercenter.embedded.mail_catcher import MailCatcher
from usercenter.embedded.ports import HOST
from usercenter.embedded.postgres import Postgres
from usercenter.embedded.sms_catcher import SmsCatcher
from usercenter.embedded.valkey import Valkey

USUAL_PORTS = tuple(part.usual_port for part in (Kafka, MailCatcher, Postgres, SmsCatcher, Valkey))


class Turns:
    """The turns of the workers that share this folder."""

    def __init__(self, folder: Path) -> None:
        self._door = folder / "door"
        self._room = folder / "room"

    @contextmanager
    def taken(self, *, alone: bool) -> Iterator[None]:
        """Wait for a turn, and hold it.

        Whoever waits for the empty room stands in the door meanwhile: nobody goes in before him.
        """
        with ExitStack() as room:
            with _locked(self._door, fcntl.LOCK_EX):
                room.enter_context(_locked(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
            yield


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, how)
        yield
    finally:
        os.close(file)


@contextmanager
def usual_ports_taken() -> Iterator[None]:
    """Nobody gets the usual port of a part: a test that stops its own broker must find the port free afterwards."""
    with ExitStack() as held:
        for port in USUAL_PORTS:
            with suppress(OSError):  # somebody else has it: as good
                held.enter_context(socket.create_server((HOST, port)))
        yield
