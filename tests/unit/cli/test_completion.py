"""The script of `usercenter completion` in a real shell: what it offers for what only the program knows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from usercenter.cli.commands import app
from usercenter.embedded.kafka_tools import MAIN_CLASSES

PRESS_TAB = """
source "$1"; shift
COMP_WORDS=(usercenter "$@"); COMP_CWORD=$#
_usercenter
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def offered(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """What bash offers for the last of these words."""
    app(["completion", "bash"], result_action="return_value")
    script, command, config = tmp_path / "script", tmp_path / "usercenter", tmp_path / "config.yaml"
    script.write_text(capsys.readouterr().out)
    command.write_text(f"#!{sys.executable}\nfrom usercenter.cli import main\nmain()\n")
    command.chmod(0o755)
    config.write_text("embedded:\n  is_enabled: true\nkafka:\n  group_id: acme\n")
    environment = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin", "USERCENTER_CONFIG": str(config)}

    def press_tab(*words: str) -> list[str]:
        arguments = ["/bin/bash", "-c", PRESS_TAB, "bash", str(script), *words]
        done = subprocess.run(  # noqa: S603  # our own command
            arguments, capture_output=True, text=True, timeout=60, check=True, env=environment
        )
        return done.stdout.split()

    return press_tab


def test_the_tools_of_kafka_are_offered(offered):
    assert offered("kafka", "") == sorted(MAIN_CLASSES)
    assert offered("kafka", "console-") == ["console-consumer", "console-producer"]


def test_roles_are_offered_and_after_a_comma_one_more(offered):
    assert {"api", "relay", "worker"} <= set(offered("run", "--roles", ""))
    assert offered("run", "--roles", "api,r") == [r"api\,relay", r"api\,relay\,worker"]


def test_groups_and_handlers_of_the_configuration_are_offered(offered):
    assert offered("groups", "describe", "acme.") == ["acme.webhooks", "acme.notifications", "acme.analytics"]
    assert offered("groups", "resume", "send_") == ["send_mail", "send_sms"]
    assert offered("tasks", "list", "--handler", "send_") == ["send_mail", "send_sms"]


def test_a_configuration_that_is_not_there_offers_nothing_and_says_nothing(offered):
    assert offered("groups", "describe", "--config", "/no/such/file", "") == []
