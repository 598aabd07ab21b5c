"""The command on a database that nobody has run `usercenter db upgrade` on, or with a role that may do nothing."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from command import command
from harness import World, execute, fresh_database
from msgspec.structs import replace
from wire import make_topics

from usercenter.cli.commands import COMMANDS

NEED_TABLES = ("verify", "groups resume", "user ", "tasks ", "dead-letters ", "replay", "operations ", "webhooks ")


@pytest.fixture
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the examples read."""
    (tmp_path / "users.csv").write_text("username,email\nada,ada@example.com\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_folder")
async def test_every_command_that_needs_the_tables_says_what_to_run(world: World) -> None:
    await make_topics(world)
    said = {}
    with fresh_database(world.parts, template="template1") as url:
        config = replace(world.config, database=replace(world.config.database, url=url))
        for each in COMMANDS:
            if each.path.startswith(NEED_TABLES):
                words = shlex.split(each.example.partition(" >")[0])[1:]
                said[each.path] = await command(config, *words)

    assert len(said) > 25
    assert {path for path, each in said.items() if "usercenter db upgrade" not in each.rest} == set()
    assert {each.status for each in said.values()} == {1}


@pytest.fixture
def powerless(world: World) -> Iterator[str]:
    """The URL of the world's database for a role that may connect, and nothing else."""
    url, role = world.config.database.url, f"powerless_{uuid4().hex[:12]}"
    execute(url, f"create role {role} login password 'powerless'")
    try:
        yield f"postgresql://{role}:powerless@{url.partition('@')[2]}"
    finally:
        execute(url, f"drop role {role}")


async def test_a_role_without_rights_is_told_which_one_it_lacks(world: World, powerless: str) -> None:
    said = await command(
        replace(world.config, database=replace(world.config.database, url=powerless)), "user", "export"
    )
    assert (said.status, said.data) == (1, "")
    assert "permission denied for table users: give the role of database.url that right" in said.rest
