"""Settings from the environment: `USERCENTER_KAFKA__GROUP_ID=…`, or `…_FILE` naming a file that holds the value."""

import re
from collections.abc import Mapping
from pathlib import Path

from usercenter import points
from usercenter.config import values
from usercenter.config.findings import Findings, Source
from usercenter.config.hints import unknown_variable
from usercenter.config.leaves import FILE_SUFFIX, PREFIX, Leaf, leaves

CONFIG_VARIABLE = "USERCENTER_CONFIG"
"""Names the config file; no setting."""
_NO_SETTINGS = frozenset({CONFIG_VARIABLE, points.VARIABLE})

_SERVICE_LINK = re.compile(
    r"USERCENTER_([A-Z0-9]+_)*(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)"
)


def read_environment(environ: Mapping[str, str], findings: Findings) -> None:
    """Add what the environment says to the findings; they replace the file's values. Blocks on secret files."""
    known = {leaf.variable: leaf for leaf in leaves().values()}
    for name in sorted(name for name in environ if name.startswith(PREFIX) and name not in _NO_SETTINGS):
        plain = name.removesuffix(FILE_SUFFIX)
        if name in known:
            _take(known[name], environ[name], Source("environment", name), findings)
        elif plain in known and plain in environ:
            findings.complain(name, known[plain].key, f"given together with {plain}; unset one of the two")
        elif plain in known:
            _take_file(known[plain], environ[name], name, findings)
        elif not _is_service_link(name, environ):
            findings.complain(name, "", unknown_variable(name))


def _take(leaf: Leaf, text: str, source: Source, findings: Findings) -> None:
    try:
        text.encode()
        findings.take(leaf, values.from_text(leaf, text), source)
    except UnicodeEncodeError:
        findings.refuse(leaf, source, "the bytes given are not UTF-8")
    except values.Unreadable as error:
        findings.refuse(leaf, source, str(error))


def _take_file(leaf: Leaf, path: str, variable: str, findings: Findings) -> None:
    """The file's text without the line break at its end is the value."""
    source = Source("secret_file", path, variable=variable)
    try:
        text = Path(path).read_bytes().decode() if path else None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        findings.complain(source, leaf.key, f"the file cannot be read ({reason}); mount it, or unset {variable}")
        return
    if text is None:
        findings.complain(variable, leaf.key, "names no file; give a path, or unset it")
    elif not (value := text.removesuffix("\n").removesuffix("\r")):
        findings.complain(source, leaf.key, f"the file is empty; write the value into it, or unset {variable}")
    else:
        _take(leaf, value, source, findings)


def _is_service_link(name: str, environ: Mapping[str, str]) -> bool:
    """Kubernetes puts such variables beside every Service named usercenter or usercenter-…; nobody meant them."""
    if "KUBERNETES_SERVICE_HOST" not in environ:
        return False
    return bool(_SERVICE_LINK.fullmatch(name)) or (name.endswith("_PORT") and "://" in environ[name])
