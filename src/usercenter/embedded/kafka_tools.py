"""Kafka's own command line tools, run from the jars of the embedded broker against any broker."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from usercenter.embedded import java, java_client, kafka_jars
from usercenter.embedded.errors import ToolFailed, UnknownTool

MAIN_CLASSES = {
    "broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "configs": "kafka.admin.ConfigCommand",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "topics": "org.apache.kafka.tools.TopicCommand",
}
BOOTSTRAP = "--bootstrap-server"
SETTINGS = "--command-config"
NOTHING: Mapping[str, str] = MappingProxyType({})
_NAMES_SERVERS = frozenset({BOOTSTRAP, "--bootstrap-controller"})
_NAMES_SETTINGS = frozenset({SETTINGS, "--consumer.config", "--producer.config"})
_PATIENCE: Final = {"default.api.timeout.ms": "12000", "request.timeout.ms": "10000"}
"""Java's own is a minute, which is long where nobody answers."""


def main_class(tool: str) -> str:
    """The class of the tool. Raises UnknownTool."""
    if tool not in MAIN_CLASSES:
        raise UnknownTool(tool, MAIN_CLASSES)
    return MAIN_CLASSES[tool]


def asks_ours(arguments: Sequence[str]) -> bool:
    """Whether a tool with these arguments goes to the configured brokers, and not to others or to nobody."""
    return not _names(arguments) & (_NAMES_SERVERS | {"--help", "--version"})


def run_tool(tool: str, arguments: list[str], *, brokers: list[str], librdkafka: Mapping[str, str] = NOTHING) -> int:
    """Run the tool on our own stdin, stdout and stderr until it ends; answers its exit code.

    Blocks; Ctrl-C goes to the tool, which ends in its own way. `brokers`, and how our clients log in there
    (`librdkafka`), are used where the arguments name none. Fetches the jars if they are not there. Raises UnknownTool,
    PartUnavailable, and OSError when a certificate cannot be read.
    """
    with _called(tool, arguments, brokers, librdkafka) as command, _interrupts_left_to_the_tool():
        return subprocess.call(command)  # noqa: S603 - a class of ours, and the arguments of the person who calls


def output(tool: str, arguments: list[str], *, brokers: list[str], librdkafka: Mapping[str, str] = NOTHING) -> str:
    """What the tool writes to stdout. Blocks until it ends. Raises ToolFailed, and what `run_tool` raises."""
    with _called(tool, arguments, brokers, librdkafka) as command:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - as above
    if done.returncode:
        raise ToolFailed(tool, done.stderr or done.stdout)
    return done.stdout


@contextmanager
def _called(tool: str, arguments: list[str], brokers: list[str], librdkafka: Mapping[str, str]) -> Iterator[list[str]]:
    """The command line, as long as its settings are there."""
    called, named = main_class(tool), _names(arguments)
    at_brokers = [] if named & _NAMES_SERVERS else [BOOTSTRAP, ",".join(brokers)]
    jars = kafka_jars.fetch_blocking(lambda line: print(line, file=sys.stderr))  # noqa: T201 - a command's own output
    options = ("-Xmx256m", *java.SHORT_RUN, *java.logging("error"))
    login = NOTHING if named & (_NAMES_SETTINGS | _NAMES_SERVERS) else librdkafka  # a password is for our brokers alone
    patience = NOTHING if named & _NAMES_SETTINGS else _PATIENCE
    with java_client.settings_file(login, patience) as file:
        settings = [SETTINGS, str(file)] if file else []
        yield java.command(java.program(), jars, called, *at_brokers, *settings, *arguments, options=options)


def _names(arguments: Sequence[str]) -> set[str]:
    return {argument.split("=")[0] for argument in arguments}


@contextmanager
def _interrupts_left_to_the_tool() -> Iterator[None]:
    """Keep Ctrl-C, which the terminal sends to both of us, from ending us before the tool has ended."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
