"""`usercenter events`: the catalogue, its schemas, and a new event that works at once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def usercenter(*arguments: str, folder: Path, extensions: str = "") -> subprocess.CompletedProcess[str]:
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("USERCENTER_")},
        "USERCENTER_CONFIG": str(ROOT / "configs" / "config.yaml"),
        "USERCENTER_EXTENSIONS": extensions,
    }
    return subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-P", "-m", "usercenter", "events", *arguments],
        cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_catalogue_in_docs_is_what_the_command_prints(tmp_path: Path) -> None:
    printed = usercenter("docs", folder=tmp_path)

    assert printed.returncode == 0, printed.stderr
    assert printed.stdout == (ROOT / "docs" / "events.md").read_text(), "run `usercenter events docs > docs/events.md`"


def test_a_new_event_passes_its_test_and_is_served_once_the_configuration_names_it(tmp_path: Path) -> None:
    made = usercenter("new", "user.profile_updated", "--folder", "acme", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert made.stdout.split() == ["acme/user_profile_updated.py", "acme/test_user_profile_updated.py"]
    assert f"{sys.executable} -m pytest acme/test_user_profile_updated.py" in made.stderr
    assert "USERCENTER_EXTENSIONS=acme.user_profile_updated" in made.stderr

    tested = subprocess.run(  # the test that was written
        [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "acme/test_user_profile_updated.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout
    assert "2 passed" in tested.stdout

    listed = usercenter("list", "--json", folder=tmp_path, extensions="acme.user_profile_updated")
    row = json.loads(listed.stdout)[-1]
    assert row == {
        "type": "user.profile_updated",
        "topic": "user.events",
        "owner": "acme.user_profile_updated",
        "handlers": ["note_user_profile_updated", "deliver_webhook"],
    }
    shown = usercenter("show", "user.profile_updated", folder=tmp_path, extensions="acme.user_profile_updated")
    assert "note_user_profile_updated" in shown.stdout
    assert '"sequence"' not in shown.stdout

    again = usercenter("new", "user.profile_updated", "--folder", "acme", folder=tmp_path)
    assert again.returncode == 1
    assert "is there already" in again.stderr


def test_an_extension_is_checked_against_schemas_beside_its_module(tmp_path: Path) -> None:
    usercenter("new", "user.badge_won", folder=tmp_path)
    assert usercenter("check", folder=tmp_path, extensions="user_badge_won").returncode == 1
    assert usercenter("check", "--write", folder=tmp_path, extensions="user_badge_won").returncode == 0
    assert (tmp_path / "schemas" / "user.badge_won" / "1.json").exists()

    module = tmp_path / "user_badge_won.py"
    module.write_text(module.read_text().replace("changes: dict[str, Any] = {}", "badge: str"))

    broken = usercenter("check", folder=tmp_path, extensions="user_badge_won")
    assert broken.returncode == 1
    assert "user.badge_won: changes is gone" in broken.stdout
    assert "user.badge_won: badge is new and required" in broken.stdout


def test_schemas_of_one_event_of_all_and_of_the_topics(tmp_path: Path) -> None:
    one = json.loads(usercenter("schema", "user.updated", folder=tmp_path).stdout)
    every = json.loads(usercenter("schema", folder=tmp_path).stdout)
    topics = json.loads(usercenter("schema", "--asyncapi", folder=tmp_path).stdout)

    assert every["user.updated"] == one
    assert set(topics["components"]["messages"]) == set(every)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "user.flew"), "no event has the type 'user.flew'; there are user.registered"),
        (("new", "Profile"), "'Profile' is no event type"),
        (("new", "user.registered"), "is an event of usercenter itself"),
        (("new", "user.flew", "--folder", "../x"), "must lie below the current folder"),
        (("schema", "user.updated", "--asyncapi"), "leave the type out"),
    ],
)
def test_wrong_usage_says_what_to_do(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = usercenter(*arguments, folder=tmp_path)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_extension_stops_the_command_with_its_reason(tmp_path: Path) -> None:
    done = usercenter("list", folder=tmp_path, extensions="acme.nothing")

    assert done.returncode == 2
    assert "extension acme.nothing: no module of that name" in done.stderr
    assert "Traceback" not in done.stderr
