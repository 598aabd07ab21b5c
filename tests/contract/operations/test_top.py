"""`top` on a real system: the numbers are those of the tables; on a terminal it is live, and leaves it as it was."""

import asyncio
import contextlib
import json
import os
import pty
import sys
import tempfile

import msgspec
from command import command
from harness import World, eventually
from receiving import login

from usercenter.messaging import outbox


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
    assert len(once.data.splitlines()) <= 24
    assert (seen["pulse"]["outbox"], seen["pulse"]["stops"]) == (2, [["send_mail", "too much failed"]])
    assert set(seen["per_second"]) == {"committed", "sent", "handled", "begun", "ended", "died"}


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
