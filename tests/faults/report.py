"""The figures of a run, and the page made of them: `docs/reliability.md`, written by `make faults` alone.

A test notes its figures (`figures.note(...)`); what it did not run, the page says. The raw figures of the last run are
kept beside the suite in `.results/`.
"""

import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from faults.books import Tally

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
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
    kills: int = 0
    tally: Tally | None = None
    recoveries: list[float] = []
    """Seconds until what was in hand at each kill or outage had had its effects."""


class Fault(msgspec.Struct, kw_only=True):
    """All that was run of one fault."""

    passed: list[str] = []
    failed: list[str] = []
    notes: list[Note] = []


class Results(msgspec.Struct, kw_only=True):
    """One run of the suite."""

    date: str
    machine: str
    seed: int = 0
    faults: dict[str, Fault] = {}


class Figures:
    """What a test says about its fault."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    def note(self, how: str, *, kills: int = 0, tally: Tally | None = None, recoveries: Sequence[float] = ()) -> None:
        """Note how the fault was caused and what came of it; notes with the same `how` are added up."""
        self._fault.notes.append(Note(how=how, kills=kills, tally=tally, recoveries=list(recoveries)))


class Report:
    """Collects a run."""

    def __init__(self) -> None:
        machine = (
            f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
        )
        self.results = Results(date=f"{datetime.now(UTC):%Y-%m-%d}", machine=machine)

    def figures(self, name: str) -> Figures:
        """Where the tests of this fault note theirs."""
        return Figures(self._fault(name))

    def note_outcome(self, name: str, test: str, outcome: str, *, seed: int) -> None:
        """A test of this fault has ended so: passed, failed or skipped."""
        self.results.seed = seed
        fault = self._fault(name)
        {"passed": fault.passed, "failed": fault.failed}.get(outcome, []).append(test)

    def write(self) -> None:
        """Write the page and keep the raw figures."""
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(self.results)))
        PAGE.write_text(page(self.results), encoding="utf-8")

    def _fault(self, name: str) -> Fault:
        assert name in PROMISES, f"{name}: name one of {', '.join(PROMISES)}"
        return self.results.faults.setdefault(name, Fault())


def page(results: Results) -> str:
    """The page."""
    head = _HEAD.format(date=results.date, machine=results.machine, seed=results.seed)
    table = "\n".join(_row(name, results.faults.get(name)) for name in PROMISES)
    details = "\n".join(line for name in PROMISES for line in _details(name, results.faults.get(name)))
    return f"{head}{table}\n{_BETWEEN}{details}\n"


def _row(name: str, fault: Fault | None) -> str:
    what, promise = PROMISES[name]
    if fault is None or not (fault.passed or fault.failed):
        return f"| {name} | {what} | {promise} | not in the last run | | | | | | |"
    total = len(fault.passed) + len(fault.failed)
    run = f"{len(fault.passed)} of {total} pass"
    return f"| {name} | {what} | {promise} | {run} | {' | '.join(_figures(fault.notes))} |"


def _figures(notes: Sequence[Note]) -> Iterator[str]:
    """Kills, lost, effects twice, duplicates and mails twice per kill, recovery; empty where it was not counted."""
    kills = sum(note.kills for note in notes)
    tallies = [note.tally for note in notes if note.tally]
    yield str(kills or "")
    yield str(sum(tally.lost for tally in tallies)) if tallies else ""
    yield str(sum(tally.twice for tally in tallies)) if tallies else ""
    for number in (sum(tally.duplicates for tally in tallies), sum(tally.mails_twice for tally in tallies)):
        yield f"{number / kills:.2f}" if kills and tallies else str(number) if tallies else ""
    yield _seconds([each for note in notes for each in note.recoveries])


def _seconds(recoveries: Sequence[float]) -> str:
    if len(recoveries) < 2:
        return "".join(f"{each:.1f}" for each in recoveries)
    cuts = statistics.quantiles(recoveries, n=20, method="inclusive")
    return f"{statistics.median(recoveries):.1f} / {cuts[-1]:.1f}"


def _details(name: str, fault: Fault | None) -> Iterator[str]:
    if fault is None:
        return
    by_how: dict[str, list[Note]] = {}
    for note in fault.notes:
        by_how.setdefault(note.how, []).append(note)
    for how, notes in by_how.items():
        kills, lost, twice, duplicates, mails, seconds = _figures(notes)
        tallies = [note.tally for note in notes if note.tally]
        operations = sum(tally.ok + tally.fail + tally.unknown for tally in tallies)
        unknown = sum(tally.unknown for tally in tallies)
        cells = (name, how, operations or "", unknown or "", kills, lost, twice, duplicates, mails, seconds)
        yield f"| {' | '.join(map(str, cells))} |"
    yield from (f"| {name} | **failed**: `{test}` | | | | | | | | |" for test in fault.failed)


_COLUMNS = "kills | lost | twice | duplicates per kill | mails twice per kill | recovery s"

_HEAD = f"""# Reliability: what was broken, and what held

Written by `make faults`; do not edit. The suite is in `tests/faults`; `make test` runs a shorter slice of it. Run of
{{date}} on {{machine}}; seed {{seed}} (again: `make faults ARGS="--seed {{seed}}"`).

While something is broken, clients register, log in, change and delete accounts, and write down what they were told, in
a file outside of the system: ok, refused, or unknown (the connection was lost). Afterwards `tests/faults/ledger.py`
and `usercenter verify` compare: every acknowledged operation has its event with exactly its content in `event_log`
and on Kafka, no refused one has, an unknown one has none or one; the order of each user is the order of its client;
every effect happened once.

- **lost**: acknowledged operations without their event, and committed events that are not on Kafka
- **twice**: effects in the database that happened twice or not at all, events that nobody caused, and mails that came
  twice where they may not, or not at all
- **duplicates**: messages on Kafka beyond the first of each id, per kill (consumers know them by their id)
- **mails twice**: mails that the SMTP server got again under the same Message-ID, per kill
- **recovery**: seconds until everything committed before the kill has had its effects, p50 / p95, with leases and
  sessions of 2 s (by default 15 s and 10 s)

| fault | what breaks | promise | last run | {_COLUMNS} |
|---|---|---|---|---|---|---|---|---|---|
"""

_BETWEEN = f"""
## By test

| fault | how | operations | unknown | {_COLUMNS} |
|---|---|---|---|---|---|---|---|---|---|
"""
