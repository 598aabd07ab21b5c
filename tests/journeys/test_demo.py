"""The two commands that a new user types first."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import World, eventually

EFFECTS = (
    "welcome mail",
    "settings initialised",
    "registration statistics",
    "login log",
    "last login",
    "anomalous login check",
    "security mail",
    "security log",
    "status notice",
    "status notice by SMS",
    "cache",
    "data purged",
    "deletion confirmation",
    "erasure receipt",
    "sync to external systems",
)
CONFIG = Path(__file__).parents[2] / "configs" / "config.yaml"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own: each other pytest of root that starts closes it to PostgreSQL's user."""
    with tempfile.TemporaryDirectory(prefix="usercenter-demo-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_the_demo_shows_all_six_events_and_every_effect_and_ends_with_0(folder: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "usercenter", "demo", "--config", str(CONFIG),
        cwd=folder, env={**os.environ, "COLUMNS": "160"},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(child.communicate(), 90)
    text = said.decode()

    assert child.returncode == 0, text
    for what in ("201 Created", "on user.events", "ce_sequence", "Welcome, testuser", "Message-ID", "analytics.fact"):
        assert what in text
    for type_ in ("registered", "logged_in", "password_changed", "status_changed", "updated", "deleted"):
        assert f"user.{type_}" in text
    for effect in EFFECTS:
        assert f"✓ {effect}" in text
    assert "webhook called, signature verified" in text
    assert '"changes": {"first_name": "Testa"' in text.split("the webhook call, as another system got it")[1]
    assert "the SMS, as the provider got it" in text
    assert "usercenter: your account testuser is now suspended" in text
    assert "never" not in text


async def test_the_event_can_be_read_with_kafkas_own_console_consumer(world: World) -> None:
    async with world.service() as (_, client):
        await client.post("/api/v1/users/register", json=world.registration("ada"))
        await eventually(world.mails, what="the welcome mail")

    topic = world.config.kafka.topics.user_events
    status, said = await world.command(
        "kafka", "console-consumer", "--topic", topic, "--from-beginning", "--max-messages", "1"
    )

    assert status == 0, said
    event = next(json.loads(line) for line in said.splitlines() if line.startswith("{"))
    assert (event["type"], event["username"]) == ("user.registered", "ada")


async def test_the_topics_are_made_with_three_partitions_and_described(world: World) -> None:
    status, said = await world.command("topics", "create")
    assert status == 0
    topic = world.config.kafka.topics.user_events
    assert {topic, f"{topic}.dlq"} <= set(said.splitlines())

    status, said = await world.command("topics", "describe", topic, "--json", "--live")
    assert status == 0, said
    assert [each["partition"] for each in json.loads(said)["topic"]["partitions"]] == [0, 1, 2]

    status, said = await world.command("topics", "describe", "no.such.topic")
    assert status == 1
    assert "usercenter topics list" in said


async def test_the_effective_configuration_is_printed_with_its_sources_and_without_its_secrets(world: World) -> None:
    status, said = await world.command("config", "check")

    assert status == 0
    assert "kafka.producer.retries" in said
    assert "PRIVATE KEY" not in said
    assert ":" in next(line for line in said.splitlines() if line.startswith("kafka.group_id"))


async def test_a_mail_is_previewed_in_chinese(world: World) -> None:
    status, said = await world.command("mail", "preview", "welcome", "--locale", "zh-CN")

    assert status == 0
    assert "Content-Language: zh-CN" in said
    assert "欢迎" in said


async def test_a_text_message_is_previewed_and_has_no_html(world: World) -> None:
    status, said = await world.command("mail", "preview", "status_changed", "--channel", "sms", "--locale", "zh-CN")
    assert status == 0
    assert "您的账号 testuser" in said

    status, said = await world.command("mail", "preview", "status_changed", "--channel", "sms", "--html", "x.html")
    assert (status, "an SMS has no HTML" in said) == (2, True)
