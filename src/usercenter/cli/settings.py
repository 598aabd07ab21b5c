"""The configuration of a command."""

import os
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from usercenter.config import Config, Loaded, load

DEFAULT_FILE: Final = Path("configs/config.yaml")

ConfigFile = Annotated[
    Path | None,
    Parameter(name=["--config", "-c"], help="Configuration file; else $USERCENTER_CONFIG, else configs/config.yaml."),
]


def loaded(path: Path | None) -> Loaded:
    """The configuration of this file, or of the usual place, with the environment over it. Raises ConfigInvalid."""
    if path is None and "USERCENTER_CONFIG" not in os.environ and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    return load(path, os.environ)


def of_running(path: Path | None) -> Config:
    """As `loaded`, with the addresses of the embedded parts that run in another terminal. Raises NothingRunning."""
    config = loaded(path).config
    if not config.embedded.is_enabled:
        return config
    from usercenter.embedded.parts import attached

    return attached(config)
