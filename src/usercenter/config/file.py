"""The YAML file: every value with its line, and every mistake with its line too."""

import re
from pathlib import Path

import yaml

from usercenter.config import values
from usercenter.config.findings import Findings, Source
from usercenter.config.hints import unknown_key
from usercenter.config.leaves import leaves, sections


def read_file(path: Path, findings: Findings) -> bool:
    """Add what the file says to the findings; False if the file as a whole could not be read. Blocks on the disk."""
    reader = _Reader(path, findings)
    text = reader.read_text()
    return text is not None and reader.read_document(text)


class _Reader:
    """Walks one file's tree of nodes beside the model's tree of sections."""

    def __init__(self, path: Path, findings: Findings) -> None:
        self.path = path
        self.findings = findings

    def read_text(self) -> str | None:
        try:
            return self.path.read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            self.complain(0, "", f"there is no such file; {_how_to_make(self.path)}")
        except OSError as error:
            self.complain(0, "", f"cannot be read ({error.strerror}); the user who starts usercenter must be able to")
        except UnicodeDecodeError as error:
            self.complain(error.object.count(b"\n", 0, error.start) + 1, "", "not UTF-8; save the file as UTF-8")
        return None

    def read_document(self, text: str) -> bool:
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            self.complain(_line_of(error, text), "", _syntax(error))
            return False
        if root is not None:
            self.read_section("", root)
        return True

    def read_section(self, section: str, node: yaml.Node) -> None:
        """A section without anything in it keeps its defaults."""
        if isinstance(node, yaml.MappingNode):
            self.refuse_doubles(section, node)
            for key, value in node.value:
                self.read_entry(section, key, value)
        elif not node.tag.endswith(":null"):
            place = section or "the file"
            self.complain_at(node, section, f"{place} is a section and takes the keys {', '.join(sections()[section])}")

    def read_entry(self, section: str, key: yaml.Node, node: yaml.Node) -> None:
        name = key.value if isinstance(key, yaml.ScalarNode) else "?"
        dotted = f"{section}.{name}" if section else name
        if "." not in name and dotted in leaves():
            self.read_leaf(dotted, key, node)
        elif "." not in name and dotted in sections():
            self.read_section(dotted, node)
        else:
            self.complain_at(key, dotted, unknown_key(section, name))

    def read_leaf(self, dotted: str, key: yaml.Node, node: yaml.Node) -> None:
        leaf, source = leaves()[dotted], self.source(key.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            self.refuse_doubles(dotted, node)
        try:
            self.findings.take(leaf, values.from_node(leaf, node), source)
        except values.Unreadable as error:
            self.findings.refuse(leaf, source, str(error))

    def refuse_doubles(self, section: str, node: yaml.MappingNode) -> None:
        first: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in first:
                dotted = f"{section}.{name}" if section else name
                self.complain(line, dotted, f"given twice, first on line {first[name]}; keep one of them")
            first.setdefault(name, line)

    def source(self, line: int) -> Source:
        return Source("file", str(self.path), line)

    def complain(self, line: int, key: str, text: str) -> None:
        self.findings.complain(self.source(line), key, text)

    def complain_at(self, node: yaml.Node, key: str, text: str) -> None:
        self.complain(node.start_mark.line + 1, key, text)


def _how_to_make(path: Path) -> str:
    laptop = f"mkdir -p {path.parent} && echo 'embedded: {{is_enabled: true}}' > {path}"
    return f"make one for a laptop with `{laptop}`, or start from configs/production.yaml of the source tree"


def _line_of(error: yaml.YAMLError, text: str) -> int:
    if isinstance(error, yaml.reader.ReaderError):
        return text.count("\n", 0, error.position) + 1
    mark = error.problem_mark or error.context_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return mark.line + 1 if mark else 0


def _syntax(error: yaml.YAMLError) -> str:
    """What YAML stumbles over, without the words it quotes from the file: they may be a password."""
    if isinstance(error, yaml.reader.ReaderError):
        return "no YAML: a control character that no text may hold"
    if not isinstance(error, yaml.MarkedYAMLError):
        return "no YAML"
    problem = re.sub(r"'[^']*'", _quoted, error.problem or "cannot be parsed")
    mark = error.context_mark
    begun = f", {error.context} that begins on line {mark.line + 1}" if mark and error.context else ""
    return f"no YAML: {problem}{begun}; {_remedy(problem)}"


def _quoted(match: re.Match[str]) -> str:
    """YAML's own signs stay, words out of the file go."""
    word = match[0][1:-1]
    return match[0] if len(word) <= 2 or re.fullmatch(r"<[a-z ]+>", word) else "…"


def _remedy(problem: str) -> str:
    if "'\\t'" in problem:
        return "indent with spaces, not tabs"
    if any(words in problem for words in ("cannot start any token", "undefined alias", "mapping values")):
        return "put the value in quotes if it is a text"
    return "look at this line and the one before it"
