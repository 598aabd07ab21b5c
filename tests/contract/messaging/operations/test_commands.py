"""The operators' commands on a real database: what they print, where, and with which status."""

import json
import re
from typing import Any

import pytest
from receiving import TOPIC, login, messages

from usercenter.handlers import groups
from usercenter.messaging.groups import Group, outside
from usercenter.messaging.operations import audit


@pytest.fixture
def group(office) -> Group:
    """A group and a handler that the configured service has as well, so that the command knows them."""
    return Group(
        office.config.kafka.group_id, "user_events", {type(login()): (outside(office.done.outside("refresh_cache")),)}
    )


async def usercenter(office, *arguments: str) -> tuple[int, str]:
    """The command with a configuration file of its own; what it said on stdout and stderr."""
    status, said = await office.world.command(*arguments)
    assert "Traceback" not in said, said
    return status, said


async def as_json(office, *arguments: str) -> Any:
    _, said = await usercenter(office, *arguments, "--json")
    return json.loads(said)


async def test_from_the_list_over_the_preview_to_the_redrive(office, group) -> None:
    assert any(
        handler.name == "refresh_cache" for each in groups(office.config.kafka) for handler in each.all_handlers()
    )
    events = [login() for _ in range(3)]
    await office.die(group, *events)

    listed = await as_json(office, "dead-letters", "list", "--handler", "refresh_cache", "--since", "1h")
    [cause] = await as_json(office, "dead-letters", "causes")
    status, preview = await usercenter(office, "dead-letters", "redrive", "--preview")
    token = re.search(r"^selection: (\S+)$", preview, re.MULTILINE)

    assert [each["event_id"] for each in listed] == [str(event.id) for event in reversed(events)]
    assert (cause["count"], cause["handler"]) == (3, "refresh_cache")
    assert status == 0
    assert "3  would be called" in preview
    assert token
    async with office.running(group):
        status, said = await usercenter(
            office, "dead-letters", "redrive", "--selection", token[1], "--yes", "--by", "ada"
        )
    assert status == 0, said
    assert "3 of 3 letters given back" in said
    assert office.done.called(*events) == [event.id for event in events]
    [operation] = await as_json(office, "operations", "list", "--kind", "redrive")
    assert (operation["state"], operation["counts"]["passed"]) == ("done", 3)
    assert operation["by"].startswith("ada (")
    assert (await usercenter(office, "operations", "show", operation["id"]))[0] == 0


async def test_one_letter_is_shown_without_personal_data_and_whole_only_on_record(office, group) -> None:
    await office.die(group, login(email="grace@example.com", user_agent="Bro\x1b[31mwser"))

    masked = await usercenter(office, "dead-letters", "show", "1")
    assert await office.world.count("operations") == 0
    whole = await usercenter(office, "dead-letters", "show", "1", "--unmasked", "--by", "ada")
    as_data = await as_json(office, "dead-letters", "show", "1", "--unmasked")

    assert (masked[0], whole[0]) == (0, 0)
    assert "grace" not in masked[1]
    assert "ada@example.com" not in masked[1]
    assert "grace@example.com" in whole[1]
    assert "\x1b" not in whole[1]
    assert "Bro\\x1b[31mwser" in whole[1]
    assert as_data["value"]["email"] == "grace@example.com"
    async with office.world.database.transaction() as tx:
        seen = await audit.latest(tx)
    assert [(each.kind, each.selection) for each in seen] == [("letters.show_unmasked", {"id": 1})] * 2


async def test_a_bulk_retry_is_a_dry_run_first(office, group) -> None:
    await office.die(group, login(), login())

    dry = await as_json(office, "dead-letters", "retry", "--type", "user.logged_in")
    assert await office.world.count("tasks") == 0
    done = await as_json(office, "dead-letters", "retry", "--selection", dry["selection"], "--yes")
    again = await as_json(office, "dead-letters", "retry", "--selection", dry["selection"], "--yes")

    assert (dry["action"], dry["count"], dry["causes"][0]["count"]) == ("retry", 2, 2)
    assert (done["done"], done["gone"]) == (2, 0)
    assert (again["done"], again["gone"]) == (0, 2)
    assert await office.world.count("tasks") == 2


async def test_one_letter_is_retried_at_once_and_only_once(office, group) -> None:
    await office.die(group, login())

    assert (await usercenter(office, "dead-letters", "retry", "1"))[0] == 0
    status, said = await usercenter(office, "dead-letters", "retry", "1")

    assert (status, await office.world.count("tasks")) == (1, 1)
    assert "letter 1 is not open" in said


async def test_discarding_asks_for_yes_and_a_reason(office, group) -> None:
    await office.die(group, login())

    without_reason, _ = await usercenter(office, "dead-letters", "discard", "1", "--yes")
    dry = await usercenter(office, "dead-letters", "discard", "1", "--reason", "a test")
    assert await office.world.value("select settled_how from dead_letters") is None
    done, _ = await usercenter(office, "dead-letters", "discard", "1", "--reason", "a test", "--yes")

    assert (without_reason != 0, dry[0], done) == (True, 0, 0)
    assert "1 letters; nothing is done yet" in dry[1]
    assert await office.world.value("select settled_how from dead_letters") == "discarded"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("dead-letters", "retry", "--yes"), 2, "say which"),
        (("dead-letters", "retry", "--selection", "bad"), 2, "no token of a selection"),
        (("dead-letters", "show", "77"), 1, "there is no letter 77"),
        (("tasks", "show", "77"), 1, "there is no task 77"),
        (("operations", "show", "0197c0de-0000-7000-8000-000000000001"), 1, "there is no operation"),
    ],
)
async def test_what_is_wrong_is_said_with_a_status(office, arguments, status, words) -> None:
    found, said = await usercenter(office, *arguments)

    assert (found, words in said) == (status, True), said


async def test_parked_tasks_are_listed_and_called(office, group) -> None:
    office.done.fails = lambda handler, event: OSError("away\x1b[2J")
    await office.router(group).handle(messages(event := login()))
    async with office.world.database.transaction() as tx:
        await tx.execute(
            "update tasks set next_attempt_at = now() + interval '1 hour', attempts = 1, ended = 1, last_error = %s",
            ("OSError: away\x1b[2J",),
        )

    status, listed = await usercenter(office, "tasks", "list", "--state", "parked")
    [task] = await as_json(office, "tasks", "list", "--user", str(event.user_id))
    dry = await as_json(office, "tasks", "retry-now", "--handler", "refresh_cache")
    called = await as_json(office, "tasks", "retry-now", "--selection", dry["selection"], "--yes")

    assert status == 0
    assert "\x1b" not in listed
    assert "OSError: away\\x1b[2J" in listed
    assert (task["state"], task["attempts"], task["topic"]) == ("parked", 1, TOPIC)
    assert (dry["lanes"], dry["called"], called["called"]) == (1, None, 1)
    assert await office.world.value("select next_attempt_at <= now() from tasks")
