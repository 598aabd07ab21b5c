"""`usercenter demo`."""

import asyncio
import shutil
import socket
import sys
from pathlib import Path
from typing import Final

from msgspec.structs import replace
from rich.console import Console

from usercenter import logs
from usercenter.bootstrap import ROLES
from usercenter.cli import CHECK_FAILED, FINE
from usercenter.cli.loading import loaded
from usercenter.cli.process import run_until_stopped, service
from usercenter.cli.settings import ConfigFile
from usercenter.cli.terminal import say
from usercenter.cli.tour import Tour
from usercenter.config import Config
from usercenter.embedded import endpoints
from usercenter.embedded.errors import AlreadyRunning

DATA_DIR: Final = Path(".usercenter/demo")


def demo(*, config: ConfigFile = None) -> int:
    """Show the life of one user, all six events and everything that follows, with everything real on this machine.

    Starts Apache Kafka, PostgreSQL, Valkey and a mail catcher where the configuration names none, on fresh data. On a
    terminal it stays up afterwards; elsewhere it ends with 0 if every effect arrived, and with 1 if not.
    """
    settings = _for_demo(loaded(config).config)
    logs.configure(settings.logging, to_stderr=False)
    console = Console(highlight=False)

    async def main(stopping: asyncio.Event) -> int:
        async with service(settings, roles=ROLES, announce=say) as (process, parts):
            tour = Tour(console, process, parts)
            is_complete = await tour.show()
            if sys.stdin.isatty() and sys.stdout.isatty() and not stopping.is_set():
                tour.say_what_to_try(settings.logging.file)
                await stopping.wait()
        return FINE if is_complete else CHECK_FAILED

    return run_until_stopped(main)


def _for_demo(config: Config) -> Config:
    """The user's configuration, on data of the demo's own, which is always new."""
    if (other := endpoints.read(DATA_DIR)) is not None:
        raise AlreadyRunning(DATA_DIR, other.pid)
    shutil.rmtree(DATA_DIR, ignore_errors=True)
    server = config.server if _is_free(config.server.host, config.server.port) else replace(config.server, port=0)
    return replace(
        config,
        embedded=replace(config.embedded, is_enabled=True, data_dir=str(DATA_DIR)),
        logging=replace(config.logging, file=str(DATA_DIR / "logs" / "usercenter.log")),
        server=replace(server, trusted_proxies=["127.0.0.1"]),  # so that the tour can log in from elsewhere
        webhooks=replace(config.webhooks, allowed_hosts=["localhost"]),  # where the tour receives its call
    )


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
