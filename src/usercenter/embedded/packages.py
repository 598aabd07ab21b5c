"""The packages of the extra `embedded`, asked for only when a part is started."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from usercenter.embedded.errors import PartUnavailable


def load(package: str, *, part: str, setting: str) -> ModuleType:
    """Import a package that carries a part.

    Raises PartUnavailable where it is not installed; `setting` is the key that names a server of one's own instead.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise _not_installed(package, part, setting) from error


def folder(package: str, *, part: str, setting: str) -> Path:
    """Where a package lies, without importing it. Raises as `load` does."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise _not_installed(package, part, setting)
    return Path(spec.origin).parent


def _not_installed(package: str, part: str, setting: str) -> PartUnavailable:
    return PartUnavailable(
        part,
        f"the package that brings it ({package}) is not installed.",
        f"Install it with: pip install 'usercenter[embedded]'. Or set {setting} to a server of your own.",
    )
