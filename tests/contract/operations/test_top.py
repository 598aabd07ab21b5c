"""`top` on a real system: the numbers are those of the tables; on a terminal it is live, and leaves it as it was."""

import asyncio
import contextlib
import json
import os
import pty
import sys
import tempfile
from datetime import UTC, datetime, timedelta

import msgspec
from command import command
from harness import World, eventually
from receiving import login

from usercenter import bootstrap
from usercenter.messaging import outbox
from usercenter.messaging.consumer_groups import Place
from usercenter.messaging.lags import GroupLag
from usercenter.messaging.snapshots import Snapshot


async def test_the_numbers_are_those_of_the_tables(world: World) -> None:
    async with world.database.transaction() as tx:
        await outbox.add(tx, login(), login())
        await tx.execute("insert into group_stops (group_name, reason) values ('send_mail', 'too much failed')")

    once = await command(world.config, "top", "--once", "--every", "0.2")
    seen = json.loads((await command(world.config, "top", "--json", "--every", "0.2")).data)

    assert once.status == 0
    assert "relays 0  workers 0" in once.data
    assert "stopped: send_mail: too much failed" in once.data
    assert "\x1b" not in once.data
    assert "q quits" not in once.data
    assert len(once.data.splitlines()) <= 24
    assert (seen["pulse"]["outbox"], seen["pulse"]["stops"]) == (2, [["send_mail", "too much failed"]])
    assert set(seen["per_second"]) == {"committed", "sent", "handled", "begun", "ended", "died"}


async def test_every_group_is_there_and_those_of_other_topics_are_as_a_worker_saw_them(world: World) -> None:
    group, topics = world.config.kafka.group_id, world.config.kafka.topics
    at = datetime.now(UTC) - timedelta(seconds=3)
    mails = lag_of(f"{group}.notifications", topics.user_notifications, 7, at - timedelta(seconds=90))
    facts = lag_of(f"{group}.analytics", topics.user_analytics, 0, None)
    await keep(world, at, [mails, facts])

    seen = json.loads((await command(world.config, "top", "--json", "--every", "0.2")).data)["pulse"]
    behind = {each["group"]: (each["lag"], each["seconds"]) for each in seen["behind"]}

    assert behind[mails.name] == (7, 90.0)
    assert behind[facts.name] == (0, 0.0)
    assert behind[group] == (None, 0.0)
    assert behind.keys() == {each.name for each in bootstrap.reactions_of(world.config)[1]}


async def test_a_look_of_long_ago_says_nothing_about_now(world: World) -> None:
    group, topics = world.config.kafka.group_id, world.config.kafka.topics
    await keep(world, datetime.now(UTC) - timedelta(minutes=5), [lag_of(group, topics.user_events, 7, None)])

    seen = json.loads((await command(world.config, "top", "--json", "--every", "0.2")).data)["pulse"]

    assert seen["lags_at"] is None
    assert {each["lag"] for each in seen["behind"]} == {None}


def lag_of(group: str, topic: str, lag: int, oldest_at: datetime | None) -> GroupLag:
    place = Place(topic=topic, partition=0, committed=0, earliest=0, next=lag, lag=lag, oldest_unread_at=oldest_at)
    return GroupLag(name=group, topic=topic, places=[place])


async def keep(world: World, at: datetime, groups: list[GroupLag]) -> None:
    """As a worker that looked then."""
    look = Snapshot(taken_at=at, groups=groups, handlers={}, outbox_depth=0, outbox_oldest_at=None)
    async with world.database.transaction() as tx:
        await tx.execute(
            "insert into snapshots (kind, taken_at, body) values ('levels', %s, %s)",
            (at, msgspec.json.encode(look).decode()),
        )


async def test_without_a_terminal_it_says_what_to_do(world: World) -> None:
    said = await command(world.config, "top")

    assert (said.status, said.data) == (2, "")
    assert "--once" in said.rest


async def test_on_a_terminal_it_draws_on_the_other_screen_and_q_ends_it(world: World) -> None:
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    seen = b""

    def read() -> bytes:
        nonlocal seen
        with contextlib.suppress(OSError):
            seen += os.read(ours, 65_536)
        return seen

    with tempfile.NamedTemporaryFile("wb", suffix=".yaml") as file:
        file.write(msgspec.yaml.encode(world.config))
        file.flush()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "usercenter", "top", "--config", file.name,
            stdin=theirs, stdout=theirs, stderr=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
        )  # fmt: skip
        try:
            await eventually(read, lambda text: b"time behind" in text, what="a frame", timeout_seconds=60)
            os.write(ours, b"q")
            await asyncio.wait_for(child.wait(), 30)
        finally:
            if child.returncode is None:
                child.kill()
    read()
    os.close(ours)
    os.close(theirs)

    assert child.returncode == 0
    assert b"\x1b[?1049h" in seen
    assert seen.rindex(b"\x1b[?1049l") > seen.rindex(b"time behind")
