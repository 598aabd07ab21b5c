"""`usercenter run` in a process that lives for weeks: without what only a person at a terminal needs.

The library that reads our command lines takes 5 MB, with what it needs to write pages; and where the packages that
colour a terminal are installed (ours needs them for `demo` and `top`), structlog and httpx import them too, for
developers: 4 MB more. redis-py imports what OpenTelemetry has for figures where it is installed; nobody uses it: 2 MB
and a twentieth of the time that all imports take.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_NAMES: Final = {"--roles": "roles", "--config": "config", "-c": "config"}
_NOT_NEEDED: Final = ("rich", "pygments", "httpx._main", "opentelemetry")
"""Each of them is done without where it is not installed."""


def options_of(words: Sequence[str]) -> dict[str, Any] | None:
    """What `run` is called with; None for whatever is not as plain as `--roles api --config=FILE`: help, mistakes …"""
    found: dict[str, Any] = {}
    left = list(words)
    while left:
        flag, is_joined, value = left.pop(0).partition("=")
        if not is_joined and left:
            value = left.pop(0)
        name = _NAMES.get(flag)
        is_odd = is_joined and not flag.startswith("--")
        if name is None or name in found or is_odd or not value or value.startswith("-"):
            return None
        found[name] = Path(value) if name == "config" else value
    return found


@contextmanager
def importing_little() -> Iterator[None]:
    """What is imported inside finds nothing of what no service needs; whoever imports later finds it."""
    absent: dict[str, Any] = {name: None for name in _NOT_NEEDED if name not in sys.modules}
    sys.modules.update(absent)
    try:
        yield
    finally:
        for name in absent:
            if sys.modules.get(name, name) is None:
                del sys.modules[name]
