"""Text that wants to be obeyed, through Kafka, log, mail and terminal: it stays text."""

import json
import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any
from uuid import uuid4

from harness import World, eventually
from wire import write

HOSTILE = 'x\r\nBcc: all@example.com\r\n\r\n\x1b[2J\x9b31m\u2028{"event":"forged"}\u202e\x07\x00\x7f</script>'
ACTING = set("\x1b\x9b\u202e\u2028\u2029\r\x00\x07\x7f")


async def test_a_hostile_name_is_never_obeyed(world: World) -> None:
    start = log_file().stat().st_size if log_file().exists() else 0
    async with world.service() as (service, client):
        refused = await client.post("/api/v1/users/register", json=world.registration("eve", first_name=HOSTILE))
        assert (refused.status_code, ACTING & set(refused.text)) == (400, set())
        answer = await client.post(
            "/api/v1/users/register",
            json=world.registration("ada", first_name="</script><b>"),
            headers=[(b"X-Request-Id", "r\u2028\u202e</script>".encode()), (b"User-Agent", "\u202eUA\u2028".encode())],
        )
        assert answer.status_code == 201
        await eventually(service.is_reading, what="readers")
        event = of_another_program(world)
        await write(world.config.kafka, [(event["user_id"], json.dumps(event).encode()), (HOSTILE, HOSTILE.encode())])
        mails = await eventually(world.mails, lambda found: len(found) >= 2, what="both welcome mails")
        await eventually(lambda: world.count("dead_letters"), lambda number: number >= 1, what="a dead letter")

    for mail in mails:
        assert len(mail.recipients) == 1
        assert mail.message["Bcc"] is None
        assert not ACTING & set(str(mail.message["Subject"]) + mail.text())
        assert "</script>" not in mail.text("html")
    with log_file().open("rb") as stream:
        stream.seek(start)
        written = stream.read().decode()
    events = [json.loads(line)["event"] for line in written.rstrip("\n").split("\n")]
    assert {"kafka.message_handled", "kafka.dead_letter"} <= set(events)
    assert "forged" not in events
    assert not ACTING & set(written)

    user = answer.json()["user"]["id"]
    async with world.database.transaction() as tx:
        await tx.execute("update users set first_name = %s where id = %s", (HOSTILE.replace("\x00", ""), user))
    position = await world.value("select min(id) from dead_letters")
    for command in (
        ("user", "show", user),
        ("user", "show", user, "--json"),
        ("dead-letters", "list"),
        ("dead-letters", "show", str(position), "--unmasked"),
        ("tasks", "list"),
        ("events", "show", HOSTILE.replace("\x00", "")),
    ):
        _, said = await world.command(*command)
        assert said if command[0] != "tasks" else True
        assert not ACTING & set(said), command


def of_another_program(world: World) -> dict[str, Any]:
    """An event whose producer checks no names."""
    return {
        "id": str(uuid4()),
        "type": "user.registered",
        "source": HOSTILE,
        "timestamp": "2026-11-24T03:00:00Z",
        "version": "1.0",
        "request_id": HOSTILE,
        "user_id": str(uuid4()),
        "username": HOSTILE,
        "email": world.email("mallory"),
        "data": {},
    }


def log_file() -> Path:
    handler = next(each for each in logging.getLogger().handlers if isinstance(each, RotatingFileHandler))
    return Path(handler.baseFilename)
