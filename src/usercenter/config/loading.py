"""One configuration out of its four sources: defaults, then the file, then the environment, then secret files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from usercenter.config.checks import complaints
from usercenter.config.environment import CONFIG_VARIABLE, read_environment
from usercenter.config.file import read_file
from usercenter.config.findings import DEFAULT, ConfigInvalid, Findings, Source
from usercenter.config.leaves import leaves
from usercenter.config.model import Config


class Loaded(msgspec.Struct, frozen=True):
    """A configuration that can be used, and where each of its values comes from."""

    config: Config
    sources: dict[str, Source]
    """For every setting, by its dotted key, in the model's order."""
    file: Path | None
    """The file that was read, if any."""

    def __repr__(self) -> str:
        """Shows no values, for some are secret."""
        return f"Loaded(file={self.file})"


def load(path: Path | None, environ: Mapping[str, str]) -> Loaded:
    """Read and check everything, or raise ConfigInvalid with all that is wrong at once. Blocks on the disk.

    Without a path the file that USERCENTER_CONFIG names is read; without that, defaults and environment stand alone.
    """
    named = environ.get(CONFIG_VARIABLE)
    file = path or (Path(named) if named else None)
    findings = Findings()
    is_complete = file is None or read_file(file, findings)
    read_environment(environ, findings)
    config = _config({**{key: leaf.default for key, leaf in leaves().items()}, **findings.values})
    if is_complete:
        _check(config, findings, place=str(file or "the environment"))
    if findings.problems:
        raise ConfigInvalid(findings.problems)
    return Loaded(config, {key: findings.sources.get(key, DEFAULT) for key in leaves()}, file)


def _check(config: Config, findings: Findings, *, place: str) -> None:
    """Look at the settings together, except where one of them is already refused."""
    refused = {problem.key for problem in findings.problems}
    for complaint in complaints(config):
        if not refused.intersection(complaint.keys):
            given = [findings.sources[key] for key in complaint.keys if key in findings.sources]
            findings.complain(given[0] if given else place, complaint.keys[0], complaint.text)


def _config(flat: Mapping[str, Any]) -> Config:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, name = key.split(".")
        section = tree
        for parent in parents:
            section = section.setdefault(parent, {})
        section[name] = value
    return msgspec.convert(tree, Config)
