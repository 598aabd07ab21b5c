"""The configuration of a command that asks a service that runs."""

import logging
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from msgspec.structs import replace

from usercenter.cli.failures import BROKERS_ASKED, DATABASES_ASKED
from usercenter.cli.loading import embedded_parts, loaded
from usercenter.config import Config

ConfigFile = Annotated[
    Path | None,
    Parameter(name=["--config", "-c"], help="Configuration file; else $USERCENTER_CONFIG, else configs/config.yaml."),
]


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
