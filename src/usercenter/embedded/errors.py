"""What can be wrong with the embedded parts.

EmbeddedError
├── PartUnavailable    a part cannot be had or does not start
├── AlreadyRunning     another process uses the data directory
├── OtherVersion       the data directory was written by other versions of the parts
├── NothingRunning     no instance runs that the command could attach to
└── UnknownTool        Kafka has no such tool here
"""

from collections.abc import Iterable
from pathlib import Path


class EmbeddedError(Exception):
    """What all of them are; the message says what to do next."""


class PartUnavailable(EmbeddedError):
    """A part cannot be had or does not start: `part` says which, `reason` why, `next_step` what to do."""

    def __init__(self, part: str, reason: str, next_step: str) -> None:
        super().__init__(f"{part} is not available: {reason}\n{next_step}")
        self.part = part
        self.reason = reason
        self.next_step = next_step


class AlreadyRunning(EmbeddedError):
    """Process `pid` uses the data directory (0: its servers are still stopping)."""

    def __init__(self, data_dir: Path, pid: int) -> None:
        holder = f"process {pid}" if pid else "servers of an earlier run that are still stopping"
        super().__init__(
            f"{data_dir} is in use by {holder}. "
            "Stop that one first, or give this one a directory of its own (embedded.data_dir)."
        )
        self.data_dir = data_dir
        self.pid = pid


class OtherVersion(EmbeddedError):
    """The data directory was written by `found`, and the installed parts are `wanted`."""

    def __init__(self, data_dir: Path, *, found: str, wanted: str) -> None:
        super().__init__(
            f"{data_dir} was written by {found}; the installed parts are {wanted}. "
            "Move it away (or delete it, if its data may go), or name another one in embedded.data_dir."
        )
        self.data_dir = data_dir


class NothingRunning(EmbeddedError):
    """Addresses are missing, and no instance runs from which they could be taken."""

    def __init__(self, data_dir: Path, missing: Iterable[str]) -> None:
        super().__init__(
            f"No usercenter with embedded parts runs on {data_dir}. "
            f"Start one in another terminal (make run), or set {', '.join(missing)} in the config."
        )
        self.data_dir = data_dir


class UnknownTool(EmbeddedError):
    """Kafka has no tool of this name among those that can be run from here."""

    def __init__(self, tool: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no Kafka tool {tool!r} here. Known: {', '.join(sorted(known))}.")
        self.tool = tool


class ToolFailed(EmbeddedError):
    """One of Kafka's tools has not done its work; it has told why on stderr."""

    def __init__(self, tool: str, said: str) -> None:
        super().__init__(f"Kafka's tool {tool!r} has not answered; it said: {said.strip() or 'nothing'}")
        self.tool = tool
