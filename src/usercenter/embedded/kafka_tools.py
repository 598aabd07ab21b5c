"""Kafka's own command line tools, run from the jars of the embedded broker against any broker."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from usercenter.embedded import java, kafka_jars
from usercenter.embedded.errors import UnknownTool

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


def run_tool(tool: str, arguments: list[str], *, brokers: list[str]) -> int:
    """Run the tool on our own stdin, stdout and stderr until it ends; answers its exit code.

    Blocks; Ctrl-C goes to the tool, which ends in its own way. `brokers` are used where the arguments name none.
    Fetches the jars if they are not there. Raises UnknownTool, PartUnavailable.
    """
    if tool not in MAIN_CLASSES:
        raise UnknownTool(tool, MAIN_CLASSES)
    named = any(argument.split("=")[0] in (BOOTSTRAP, "--bootstrap-controller") for argument in arguments)
    at_brokers = [] if named else [BOOTSTRAP, ",".join(brokers)]
    jars = kafka_jars.fetch_blocking(lambda line: print(line, file=sys.stderr))  # noqa: T201 - a command's own output
    options = ("-Xmx256m", *java.SHORT_RUN, *java.logging("error"))
    command = java.command(java.program(), jars, MAIN_CLASSES[tool], *at_brokers, *arguments, options=options)
    with _interrupts_left_to_the_tool():
        return subprocess.call(command)  # noqa: S603 - a class of ours, and the arguments of the person who calls


@contextmanager
def _interrupts_left_to_the_tool() -> Iterator[None]:
    """Keep Ctrl-C, which the terminal sends to both of us, from ending us before the tool has ended."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
