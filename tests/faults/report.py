"""The figures of a run: collected as tests end, and written down after each, so that a run that is cut loses nothing.

A test notes its figures (`figures.note(...)`); `page.py` makes docs/reliability.md of them, with `make faults` alone.
The raw figures of the last run are kept beside the suite in `.results/`.
"""

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from faults.books import Tally

import usercenter

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / ".results" / "last.json"

PROMISES = {
    "F1": ("SIGKILL of api, relay and worker at random moments under load", "nothing lost, each effect once"),
    "F2": ("a kill at each named moment of the code", "the exact end state of each moment"),
    "F3": ("commits out of order", "nothing skipped, nothing reordered"),
    "F4": ("four relays, one user with 1,000 changes", "the order of the changes on Kafka"),
    "F5": ("the broker ends, is killed, is frozen", "the API answers; events wait and are drained in order"),
    "F6": ("the network is cut, reset, slow, a black hole", "nothing lost, each effect once"),
    "F7": ("PostgreSQL restarts, drops connections, is away", "503 meanwhile; everything recovers by itself"),
    "F8": ("a storm of rebalances with a slow handler", "each effect once"),
    "F9": ("poison: messages that cannot be read or handled", "a dead letter with its reason; the others go on"),
    "F10": ("the disk is full", "an honest refusal, and nothing acknowledged that is not kept"),
    "F11": ("the clock jumps by an hour", "order and leases do not depend on it"),
    "F12": ("redrive and replay under load, killed and doubled", "each effect once, the books balance"),
    "F13": ("retention deletes records before they are read", "seen, reported, repaired from event_log"),
    "F14": ("the version before this one runs beside it", "both work on one schema"),
    "F15": ("a user is deleted while events wait everywhere", "purged everywhere, and nothing comes back"),
    "F16": ("SIGTERM under load", "exit status 0, nothing lost, nothing twice, no mail twice"),
    "three brokers": ("the leader is killed, two of three are away", "nothing acknowledged that is not kept"),
}
"""By fault: what happens, and what is promised then."""


class Note(msgspec.Struct, kw_only=True):
    """What one test counted."""

    how: str
    test: str = ""
    rounds: int = 1
    """So many tests were meant to be made of this `how`."""
    kills: int = 0
    tally: Tally | None = None
    recoveries: list[float] = []
    """Seconds, each from the end of a kill or an outage until what this test waits for."""


class Fault(msgspec.Struct, kw_only=True):
    """All that was run of one fault."""

    planned: list[str] = []
    passed: list[str] = []
    failed: list[str] = []
    skipped: list[str] = []
    notes: list[Note] = []

    @property
    def made(self) -> int:
        """How many tests have come to an end."""
        return len({*self.passed, *self.failed, *self.skipped})


class Run(msgspec.Struct, kw_only=True):
    """One start of the suite."""

    began: str
    machine: str
    load: float
    """How many processes wanted a core when it began, on the average of a minute."""
    version: str
    commit: str
    seed: int = 0


class Results(msgspec.Struct, kw_only=True):
    """What the suite brought: in one run, or in one that was cut and those that went on with it (`--go-on`)."""

    runs: list[Run]
    left_out: int = 0
    """Tests that this run was told not to make (`-m`, `-k`)."""
    faults: dict[str, Fault] = {}


class Figures:
    """What a test says about its fault."""

    def __init__(self, fault: Fault, test: str) -> None:
        self._fault = fault
        self._test = test

    def note(
        self,
        how: str,
        *,
        rounds: int = 1,
        kills: int = 0,
        tally: Tally | None = None,
        recoveries: Sequence[float] = (),
    ) -> None:
        """Note how the fault was caused and what came of it; notes with the same `how` are rounds, and added up."""
        facts = {"how": how, "rounds": rounds, "kills": kills, "recoveries": list(recoveries)}
        self._fault.notes.append(Note(test=self._test, tally=tally, **facts))


class Report:
    """Collects a run."""

    def __init__(self) -> None:
        machine = (
            f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
        )
        this = Run(
            began=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            machine=machine,
            load=os.getloadavg()[0],
            version=usercenter.__version__,
            commit=commit(ROOT),
        )
        self.results = Results(runs=[this])

    def go_on(self, path: Path = RESULTS) -> set[str]:
        """Keep what the last run brought; returns the tests that passed in it, which are not made again."""
        last = msgspec.json.decode(path.read_bytes(), type=Results)
        for fault in last.faults.values():
            fault.notes = [note for note in fault.notes if note.test in fault.passed]
            fault.planned, fault.failed, fault.skipped = list(fault.passed), [], []
        self.results = Results(runs=[*last.runs, *self.results.runs], faults=last.faults)
        return {test for fault in last.faults.values() for test in fault.passed}

    def figures(self, name: str, test: str) -> Figures:
        """Where this test of this fault notes its own."""
        return Figures(self._fault(name), test)

    def plan(self, tests: Iterable[tuple[str, str]], *, left_out: int, seed: int) -> None:
        """What this run is going to make: fault and test of each, and how many it leaves out."""
        self.results.runs[-1].seed, self.results.left_out = seed, left_out
        for name, test in tests:
            self._fault(name).planned.append(test)

    def note_outcome(self, name: str, test: str, outcome: str) -> None:
        """A test of this fault has ended so: passed, failed or skipped. One that fails at its end has not passed."""
        fault = self._fault(name)
        if outcome == "failed" and test in fault.passed:
            fault.passed.remove(test)
        ended = {"passed": fault.passed, "failed": fault.failed, "skipped": fault.skipped}[outcome]
        if test not in ended:
            ended.append(test)

    def write(self, page: str, path: Path, results: Path = RESULTS) -> None:
        """Write the page and keep the raw figures; each file is whole at any moment."""
        results.parent.mkdir(exist_ok=True)
        _replace(results, msgspec.json.format(msgspec.json.encode(self.results)))
        _replace(path, page.encode())

    def _fault(self, name: str) -> Fault:
        assert name in PROMISES, f"{name}: name one of {', '.join(PROMISES)}"
        return self.results.faults.setdefault(name, Fault())


def commit(folder: Path) -> str:
    """The commit that is checked out there, `(and changes)` behind it if there are; `unknown` without git."""
    try:
        head = _git(folder, "rev-parse", "--short=12", "HEAD")
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/reliability.md")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head} (and changes)" if changes else head


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)  # noqa: S603, S607
    return done.stdout.strip()


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)
