"""What clients did and what they were told, in a file outside of the system: the clients' truth.

One JSON line before each request (`intent`) and one after it. What a client knows afterwards is one of three things:
`ok` (it was told so), `fail` (it was refused, or nothing was sent: surely nothing happened), `unknown` (the connection
was lost, the time ran out, or the server said 5xx: it happened once, or not at all).
"""

import time
from pathlib import Path
from typing import Any, Literal

import msgspec

State = Literal["intent", "ok", "fail", "unknown"]


class Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of the file."""

    id: str
    """The operation: its X-Request-ID, and therefore its event's `request_id`."""
    kind: str
    state: State
    at: float
    username: str = ""
    expected: dict[str, Any] = {}
    """What its event has to say, field by field."""
    user_id: str | None = None
    sequence: int | None = None
    status: int | None = None
    reason: str | None = None


class Operation(msgspec.Struct, kw_only=True):
    """An operation, as its client sees it at the end."""

    id: str
    kind: str
    username: str
    state: State
    expected: dict[str, Any]
    user_id: str | None = None
    sequence: int | None = None
    attempts: int = 0
    reasons: list[str] = []


class Journal:
    """Appends to the file; each line is in it before anything else happens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._encoder = msgspec.json.Encoder()

    def write(self, id: str, kind: str, state: State, **facts: Any) -> None:
        """Write one line, through to the file."""
        line = Line(id=id, kind=kind, state=state, at=time.time(), **facts)
        with self.path.open("ab") as file:
            file.write(self._encoder.encode(line) + b"\n")


def operations(path: Path) -> list[Operation]:
    """Every operation of the file in the order of its first attempt; one without an end is unknown.

    An operation that was sent again under the same id (an Idempotency-Key) is what its last attempt says, except that
    only `ok` ends an `unknown`: a refusal of the second attempt says nothing about the first.
    """
    found: dict[str, Operation] = {}
    for raw in path.read_bytes().splitlines() if path.exists() else ():
        line = msgspec.json.decode(raw, type=Line)
        if line.state == "intent":
            operation = found.setdefault(line.id, _begun(line))
            operation.attempts += 1
        else:
            _end(found[line.id], line)
    return list(found.values())


def _begun(line: Line) -> Operation:
    return Operation(
        id=line.id,
        kind=line.kind,
        username=line.username,
        state="unknown",
        expected=line.expected,
        user_id=line.user_id,
    )


def _end(operation: Operation, line: Line) -> None:
    is_doubtful = operation.state == "unknown" and bool(operation.reasons)
    if line.state != "ok":
        operation.reasons = [*operation.reasons, line.reason or str(line.status)]
    if line.state == "ok" or not is_doubtful:
        operation.state = line.state
    operation.user_id = line.user_id or operation.user_id
    operation.sequence = line.sequence or operation.sequence
    operation.expected |= line.expected
