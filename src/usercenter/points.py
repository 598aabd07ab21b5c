"""The moments at which a crash is worth a test, by name: where a process may be killed, and what then must hold.

`USERCENTER_DIE_AT=batch.committed` lets a process end itself, as SIGKILL would, when it comes by that moment;
`batch.committed:3` at the third time. The fault suite (`tests/faults`) has one test for each name. Without the variable
a moment costs one comparison.
"""

import os
import signal
import sys
from typing import Final

VARIABLE: Final = "USERCENTER_DIE_AT"

POINTS: Final = {
    "outbox.added": "the event is in the outbox, its transaction is not committed",
    "outbox.committed": "the change and its event are committed; nobody was woken, and the client has no answer",
    "relay.sent": "the message was given to Kafka's client, and is not acknowledged",
    "relay.acknowledged": "Kafka has the message, the outbox still has its row",
    "handler.begun": "a record handler is about to run in the batch's transaction",
    "batch.effects_done": "every effect of the batch is written, nothing is committed",
    "batch.committed": "the batch is committed, its offsets are not stored",
    "task.begun": "an attempt at a task is counted, its handler has not run",
    "task.done": "the outside handler has done its work, its task is not struck off",
}
"""Each name, and the state of the world at that moment."""


class UnknownPoint(Exception):
    """`USERCENTER_DIE_AT` names no moment of ours."""


def reached(point: str) -> None:
    """Go on; or end this process at once, if it was told to die here."""
    if _deadly is not None:
        _deadly.pass_by(point)


class _Deadly:
    def __init__(self, wish: str) -> None:
        self._point, _, number = wish.partition(":")
        if self._point not in POINTS or not (number or "1").isdigit():
            raise UnknownPoint(f"{VARIABLE}={wish}: choose one of {', '.join(POINTS)}, with :3 for the third time")
        self._left = int(number or 1)

    def pass_by(self, point: str) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            print(f"dying at {point}: {VARIABLE} asks for it", file=sys.stderr, flush=True)  # noqa: T201
            os.kill(os.getpid(), signal.SIGKILL)


_deadly: Final = _Deadly(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
