"""The page made of a run's figures: docs/reliability.md. What the run did not make, or not to its end, it says."""

import statistics
from collections.abc import Iterator, Sequence

from faults.report import PROMISES, ROOT, Fault, Note, Results, Run

PAGE = ROOT / "docs" / "reliability.md"


def page(results: Results) -> str:
    """The page."""
    head = _HEAD.format(
        extent=_extent(results),
        runs="\n".join(map(_run, results.runs)),
    )
    table = "\n".join(_row(name, results.faults.get(name)) for name in PROMISES)
    details = "\n".join(
        line for name in PROMISES if (fault := results.faults.get(name)) for line in _details(name, fault)
    )
    return f"{head}{table}\n{_BETWEEN}{details}\n"


def _run(run: Run) -> str:
    return f"| {run.began} | {run.version} | {run.commit} | {run.seed} | {run.machine} | {run.load:.1f} |"


def _extent(results: Results) -> str:
    """Whether this was all of the suite."""
    planned = sum(len(fault.planned) for fault in results.faults.values())
    made = sum(fault.made for fault in results.faults.values())
    said = f"{made} of {planned} tests made"
    if made < planned:
        said = f"**{said}, then it stopped**"
    if results.left_out:
        return f"{said}; **it left out {results.left_out} tests of the suite**"
    return said


def _row(name: str, fault: Fault | None) -> str:
    what, promise = PROMISES[name]
    if fault is None or not fault.planned:
        return f"| {name} | {what} | {promise} | not in the last run | | | | | | |"
    return f"| {name} | {what} | {promise} | {_outcome(fault)} | {' | '.join(_figures(fault.notes))} |"


def _outcome(fault: Fault) -> str:
    """`9 of 9 pass`, and whatever there is to say beside it."""
    planned = len(fault.planned)
    if not fault.made:
        return f"none of {planned} made, the run stopped before"
    parts = [f"{len(fault.passed)} of {planned} pass"]
    if fault.failed:
        parts.append(f"**{len(fault.failed)} failed**")
    if fault.skipped:
        parts.append(f"{len(fault.skipped)} skipped")
    if fault.made < planned:
        parts.append(f"{fault.made} of {planned} made, then stopped")
    return ", ".join(parts)


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


def _details(name: str, fault: Fault) -> Iterator[str]:
    by_how: dict[str, list[Note]] = {}
    for note in fault.notes:
        by_how.setdefault(note.how, []).append(note)
    is_over = fault.made == len(fault.planned)
    for how, notes in by_how.items():
        kills, lost, twice, duplicates, mails, seconds = _figures(notes)
        tallies = [note.tally for note in notes if note.tally]
        operations = sum(tally.ok + tally.fail + tally.unknown for tally in tallies)
        unknown = sum(tally.unknown for tally in tallies)
        rounds = _rounds(len(notes), max(note.rounds for note in notes), is_over=is_over)
        cells = (name, how, rounds, operations or "", unknown or "", kills, lost, twice, duplicates, mails, seconds)
        yield f"| {' | '.join(map(str, cells))} |"
    yield from (f"| {name} | **failed**: `{test}` | | | | | | | | | |" for test in fault.failed)


def _rounds(made: int, planned: int, *, is_over: bool) -> str:
    if made >= planned:
        return str(made)
    return f"**{made} of {planned} rounds**" if is_over else f"**{made} of {planned} rounds, then stopped**"


_COLUMNS = "kills | lost | twice | duplicates per kill | mails twice per kill | recovery s"

_HEAD = f"""# Reliability: what was broken, and what held

Written by `make faults`, anew after each test; do not edit. The suite is in `tests/faults`; `make test` runs a shorter
slice of it. {{extent}}, in

| run of | version | commit | seed | machine | load when it began |
|---|---|---|---|---|---|
{{runs}}

A run that is cut can be gone on with: `make faults ARGS=--go-on` makes what has not passed yet, and adds a line here.
`--seed` gives it the seed of another one.

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
- **recovery**: seconds, p50 / p95, with leases and sessions of 2 s (by default 15 s and 10 s). After a kill (F1): from
  the kill until all that was committed before it has left the outbox and is in the inbox of the group `usercenter`;
  other groups and tasks may still have work. After an outage (F5, F6, F7, F10, three brokers): from its end until what
  was in the outbox then has left it. Rebalances (F8): the longest time in which a partition was not handled
- **rounds**: how often a test was made with other chances

| fault | what breaks | promise | last run | {_COLUMNS} |
|---|---|---|---|---|---|---|---|---|---|
"""

_BETWEEN = f"""
## By test

| fault | how | rounds | operations | unknown | {_COLUMNS} |
|---|---|---|---|---|---|---|---|---|---|---|
"""
