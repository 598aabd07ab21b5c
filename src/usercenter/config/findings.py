"""What the reading of a configuration has brought to light: values with their sources, and everything that is wrong."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from usercenter.config import values
from usercenter.config.leaves import Leaf


class Source(msgspec.Struct, frozen=True):
    """Where a value comes from; as text it is what an operator can open or unset."""

    kind: Literal["default", "file", "environment", "secret_file"]
    name: str = ""
    """The path of the file, or the name of the variable."""
    line: int = 0
    """Counted from 1; 0 where a whole file is meant."""
    variable: str = ""
    """The `…_FILE` variable that names a secret file."""

    def __str__(self) -> str:
        match self.kind:
            case "default":
                return "default"
            case "file" if self.line:
                return f"{self.name}:{self.line}"
            case "secret_file":
                return f"{self.name} ({self.variable})"
            case _:
                return self.name


DEFAULT = Source("default")


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong, where it stands, and what would be right."""

    where: str
    key: str
    """Dotted; empty where the problem belongs to no key."""
    text: str

    def __str__(self) -> str:
        """One line that any terminal can print, whatever bytes the key or the path is made of."""
        line = ": ".join(part for part in (self.where, self.key, self.text) if part)
        return " ".join(line.splitlines()).encode("utf-8", "backslashreplace").decode()


class ConfigInvalid(ValueError):
    """The configuration cannot be used; the message has one line per problem, and never a secret."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Findings:
    """Collects while the sources are read, the weaker source first: a later value replaces an earlier one."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.sources: dict[str, Source] = {}
        self.problems: list[Problem] = []

    def take(self, leaf: Leaf, value: Any, source: Source) -> None:
        """Keep the value if the model takes it, else the problem."""
        try:
            self.values[leaf.key] = leaf.convert(value)
            self.sources[leaf.key] = source
        except msgspec.ValidationError:
            self.refuse(leaf, source, values.given(leaf, value))

    def refuse(self, leaf: Leaf, source: Source, text: str) -> None:
        """Keep the problem together with what is allowed."""
        self.complain(source, leaf.key, f"{text}; allowed: {values.allowed(leaf)}")

    def complain(self, source: Source | str, key: str, text: str) -> None:
        """Keep a problem."""
        self.problems.append(Problem(str(source), key, text))
