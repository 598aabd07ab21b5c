"""The checker itself: it is content with a sound run, and finds each kind of damage that is planted."""

from collections.abc import Callable
from pathlib import Path

from faults.crew import crew
from faults.journal import Journal, operations
from faults.ledger import check, judge
from faults.load import Clients
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
    for statement in DAMAGE:
        assert await world.rows(f"{statement} returning 1"), statement
    Journal(file).write("never-sent", "user.updated", "intent")
    Journal(file).write("never-sent", "user.updated", "ok")
    problems = (await judge(world, file)).problems
    for complaint in [*DAMAGE.values(), "never-sent was acknowledged and has 0 events", "verify"]:
        assert any(complaint in problem for problem in problems), (complaint, problems)


DAMAGE = {
    "delete from user_settings": "user_settings",
    "update statistics set value = value + 1 where metric = 'logins'": "statistics",
    "delete from login_log where event_id = (select min(event_id::text)::uuid from login_log)": "login_log",
    "delete from event_log where id = (select id from event_log where type = 'user.updated' order by id limit 1)": (
        "never committed"
    ),
    "update event_log set payload = '{}' where sequence = 1": "something else on Kafka",
    "insert into dead_letters (group_name, handler, topic, headers, attempts, error) "
    "values ('g', 'h', 't', '{}', 1, 'e')": "dead_letters",
}


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
