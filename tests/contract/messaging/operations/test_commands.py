"""The operators' commands on a real database: what they print, where, and with which status."""

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
from typing import Any

import msgspec
import pytest
from command import Said, command
from harness import eventually
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


async def usercenter(office, *arguments: str) -> Said:
    return await command(office.config, *arguments)


async def as_json(office, *arguments: str) -> Any:
    return json.loads((await usercenter(office, *arguments, "--json")).data)


async def test_from_the_list_over_the_preview_to_the_redrive(office, group) -> None:
    assert any(
        handler.name == "refresh_cache" for each in groups(office.config.kafka) for handler in each.all_handlers()
    )
    events = [login() for _ in range(3)]
    await office.die(group, *events)

    listed = await as_json(office, "dead-letters", "list", "--handler", "refresh_cache", "--since", "1h")
    [cause] = await as_json(office, "dead-letters", "causes")
    preview = await usercenter(office, "dead-letters", "redrive", "--preview")
    token = re.search(r"^selection: (\S+)$", preview.data, re.MULTILINE)

    assert [each["event_id"] for each in listed] == [str(event.id) for event in reversed(events)]
    assert (cause["count"], cause["handler"]) == (3, "refresh_cache")
    assert preview.status == 0
    assert "3  would be called" in preview.data
    assert "nothing was changed" in preview.rest
    assert token
    async with office.running(group):
        done = await usercenter(office, "dead-letters", "redrive", "--selection", token[1], "--yes", "--by", "ada")
    assert done.status == 0, done
    assert "3 of 3 letters given back" in done.data
    assert "canary: " in done.rest
    assert office.done.called(*events) == [event.id for event in events]
    [operation] = await as_json(office, "operations", "list", "--kind", "redrive")
    assert (operation["state"], operation["counts"]["passed"]) == ("done", 3)
    assert operation["by"].startswith("ada (")
    assert (await usercenter(office, "operations", "show", operation["id"])).status == 0


async def test_letters_of_a_handler_that_is_no_longer_configured_are_still_found(office) -> None:
    await office.die(office.of_logins(outside(office.done.outside("call_old_crm"))), login())

    [letter] = await as_json(office, "dead-letters", "list", "--handler", "call_old_crm")

    assert letter["handler"] == "call_old_crm"


@pytest.mark.parametrize(
    "arguments",
    [
        ("dead-letters", "redrive", "--preview"),
        ("dead-letters", "redrive"),
        ("dead-letters", "retry", "--all"),
        ("tasks", "retry-now", "--handler", "send_mail/somebody"),
    ],
    ids=" ".join,
)
async def test_of_nothing_no_selection_is_offered(office, arguments) -> None:
    said = await usercenter(office, *arguments)

    assert said.status == 0
    assert "selection" not in said.data + said.rest
    assert "there is nothing to" in said.rest


async def test_one_letter_is_shown_without_personal_data_and_whole_only_on_record(office, group) -> None:
    await office.die(group, login(email="grace@example.com", user_agent="Bro\x1b[31mwser"))

    masked = await usercenter(office, "dead-letters", "show", "1")
    assert await office.world.count("operations") == 0
    whole = await usercenter(office, "dead-letters", "show", "1", "--unmasked", "--by", "ada")
    as_data = await as_json(office, "dead-letters", "show", "1", "--unmasked")

    assert (masked.status, whole.status) == (0, 0)
    assert "grace" not in masked.data
    assert "ada@example.com" not in masked.data
    assert "grace@example.com" in whole.data
    assert "\x1b" not in whole.data
    assert "Bro\\x1b[31mwser" in whole.data
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

    assert (await usercenter(office, "dead-letters", "retry", "1")).status == 0
    again = await usercenter(office, "dead-letters", "retry", "1")

    assert (again.status, await office.world.count("tasks")) == (1, 1)
    assert "letter 1 is not open" in again.rest


async def test_discarding_asks_for_yes_and_a_reason(office, group) -> None:
    await office.die(group, login())

    without_reason = await usercenter(office, "dead-letters", "discard", "1", "--yes")
    dry = await usercenter(office, "dead-letters", "discard", "1", "--reason", "a test")
    assert await office.world.value("select settled_how from dead_letters") is None
    done = await usercenter(office, "dead-letters", "discard", "1", "--reason", "a test", "--yes")

    assert (without_reason.status != 0, dry.status, done.status) == (True, 0, 0)
    assert "1 letters; nothing is done yet" in dry.rest
    assert await office.world.value("select settled_how from dead_letters") == "discarded"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("dead-letters", "retry", "--yes"), 2, "say which"),
        (("dead-letters", "retry", "--selection", "bad"), 2, "the token is not whole"),
        (("dead-letters", "list", "--handler", "send_mial"), 2, "did you mean send_mail?"),
        (("dead-letters", "causes", "--handler", "nosuch"), 2, "send_mail"),
        (("dead-letters", "redrive", "--handler", "nosuch", "--preview"), 2, "there is no handler 'nosuch'"),
        (("tasks", "list", "--handler", "nosuch"), 2, "there is no handler 'nosuch'"),
        (("tasks", "retry-now", "--handler", "nosuch"), 2, "there is no handler 'nosuch'"),
        (("dead-letters", "show", "77"), 1, "there is no letter 77"),
        (("tasks", "show", "77"), 1, "there is no task 77"),
        (("tasks", "retry-now", "77"), 1, "task 77 is not parked: see `usercenter tasks show 77`"),
        (("user", "show", "\udcff"), 2, "an argument is not UTF-8"),
        (("operations", "show", "0197c0de-0000-7000-8000-000000000001"), 1, "there is no operation"),
    ],
)
async def test_what_is_wrong_is_said_with_a_status(office, arguments, status, words) -> None:
    said = await usercenter(office, *arguments)

    assert (said.status, said.data, words in said.rest) == (status, "", True), said


async def test_parked_tasks_are_listed_and_called(office, group) -> None:
    office.done.fails = lambda handler, event: OSError("away\x1b[2J")
    await office.router(group).handle(messages(event := login()))
    async with office.world.database.transaction() as tx:
        await tx.execute(
            "update tasks set next_attempt_at = now() + interval '1 hour', attempts = 1, ended = 1, last_error = %s",
            ("OSError: away\x1b[2J",),
        )

    listed = await usercenter(office, "tasks", "list", "--state", "parked")
    [task] = await as_json(office, "tasks", "list", "--user", str(event.user_id))
    dry = await as_json(office, "tasks", "retry-now", "--handler", "refresh_cache")
    called = await as_json(office, "tasks", "retry-now", "--selection", dry["selection"], "--yes")

    assert listed.status == 0
    assert "\x1b" not in listed.data
    assert "OSError: away\\x1b[2J" in listed.data
    assert (task["state"], task["attempts"], task["topic"]) == ("parked", 1, TOPIC)
    assert (dry["lanes"], dry["called"], called["called"]) == (1, None, 1)
    assert await office.world.value("select next_attempt_at <= now() from tasks")


async def test_ctrl_c_stops_a_redrive_with_a_summary_and_the_rest_stays_open(office, group) -> None:
    await office.die(group, *[login() for _ in range(4)])

    said = await _broken_off(office, signal.SIGINT)

    assert said.status == 130, said
    assert "3 of 4 letters given back" in said.data
    assert "interrupted" in said.rest
    assert "Traceback" not in said.rest
    [operation] = await as_json(office, "operations", "list")
    assert (operation["state"], operation["counts"]["retried"]) == ("stopped", 3)
    assert await office.world.value("select count(*) from dead_letters where settled_at is null") == 1


async def test_a_redrive_that_was_killed_has_counted_what_it_did_and_another_does_the_rest(office, group) -> None:
    events = [login() for _ in range(4)]
    await office.die(group, *events)

    await _broken_off(office, signal.SIGKILL)
    async with office.running(group):
        done = await usercenter(office, "dead-letters", "redrive", "--yes")

    assert "1 of 1 letters given back" in done.data
    assert sorted(office.done.called(*events)) == sorted(event.id for event in events)
    last, killed = await as_json(office, "operations", "list")
    assert (last["state"], killed["state"], killed["counts"]["retried"]) == ("done", "running", 3)


async def _broken_off(office, number: signal.Signals) -> Said:
    """A redrive with nobody at work, so that it waits for its canary; ended by this signal."""
    with tempfile.NamedTemporaryFile("wb", suffix=".yaml") as file:
        file.write(msgspec.yaml.encode(office.config))
        file.flush()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "usercenter", "dead-letters", "redrive", "--yes", "--canary", "3",
            env={**os.environ, "USERCENTER_CONFIG": file.name},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await eventually(
            lambda: office.world.count("tasks"), lambda number: number == 3, what="the canary", timeout_seconds=90
        )
        child.send_signal(number)
        data, rest = await asyncio.wait_for(child.communicate(), 30)
    return Said(child.returncode or 0, data.decode(), rest.decode())
