"""The checker itself: it is content with a sound run, and finds each kind of damage that is planted."""

from collections.abc import Callable
from pathlib import Path

from faults.crew import crew
from faults.journal import Journal, operations
from faults.ledger import check, judge
from faults.load import Clients
from faults.report import PROMISES, Figures, Report, page
from harness import World


async def test_a_run_without_faults_is_sound_and_each_planted_damage_is_found(
    world: World, clients: Callable[..., Clients], file: Path
) -> None:
    async with crew(world, "api,relay,worker") as processes:
        await clients(processes.doors).work(60)
        tally = await check(world, file)

    assert tally.ok >= 60
    assert (tally.fail, tally.unknown, tally.lost, tally.twice, tally.duplicates, tally.mails_twice) == (0,) * 6
    assert len({each.kind for each in operations(file)}) >= 4
    for statement, complaint in DAMAGE.items():
        await undone(world, statement, complaint, file)
    Journal(file).write("never-sent", "user.updated", "intent")
    Journal(file).write("never-sent", "user.updated", "ok")
    assert any("never-sent was acknowledged and has 0 events" in each for each in (await judge(world, file)).problems)


DAMAGE = {
    "delete from user_settings": "user_settings",
    "update statistics set value = value + 1 where metric = 'logins'": "statistics",
    "delete from login_log where event_id = (select min(event_id::text)::uuid from login_log)": "login_log",
    "delete from event_log where sequence = 2": "never committed",
    "update event_log set payload = '{}' where sequence = 1": "something else on Kafka",
    "insert into dead_letters (group_name, handler, topic, headers, attempts, error) "
    "values ('g', 'h', 't', '{}', 1, 'e')": "dead_letters",
}


async def undone(world: World, statement: str, complaint: str, file: Path) -> None:
    """Plant the damage in a copy of the tables, judge, and take it back."""
    tables = ("user_settings", "statistics", "login_log", "event_log", "dead_letters")
    for table in tables:
        await run(world, f"create table kept_{table} as select * from {table}")  # noqa: S608  # constants
    await run(world, statement)
    problems = (await judge(world, file)).problems
    assert any(complaint in each for each in problems), (statement, problems)
    for table in tables:
        await run(world, f"delete from {table}")  # noqa: S608
        overriding = "overriding system value" if table == "dead_letters" else ""
        await run(world, f"insert into {table} {overriding} select * from kept_{table}")  # noqa: S608
        await run(world, f"drop table kept_{table}")
    assert (await judge(world, file)).problems == []


async def run(world: World, statement: str) -> None:
    async with world.database.transaction() as tx:
        await tx.execute(statement)  # type: ignore[arg-type]


def test_an_operation_that_was_sent_again_is_what_its_first_certain_end_says(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "file")
    ends = {"a": ["unknown", "fail"], "b": ["unknown", "ok"], "c": ["fail"], "d": []}
    for id, states in ends.items():
        journal.write(id, "user.registered", "intent")
        for state in states:
            journal.write(id, "user.registered", state)  # type: ignore[arg-type]
    assert {each.id: each.state for each in operations(journal.path)} == {
        "a": "unknown",
        "b": "ok",
        "c": "fail",
        "d": "unknown",
    }


def test_the_page_names_every_fault_and_says_which_were_not_run() -> None:
    report = Report()
    report.note_outcome("F1", "test_kills", "passed", seed=7)
    report.figures("F1").note("at random moments", kills=4, recoveries=[1.0, 2.0, 3.0])
    written = page(report.results)
    assert isinstance(report.figures("F2"), Figures)
    assert "| F1 |" in written
    assert "1 of 1 pass | 4 |" in written
    assert "2.0 / 2.9" in written
    assert written.count("not in the last run") == len(PROMISES) - 1
