"""A worker whose handler kills its own process, as exhausted memory would; run by tests with a database's URL."""

import asyncio
import os
import sys

from msgspec.structs import replace
from receiving import QUICK, REGISTRY, TOPIC

from usercenter.clock import SystemClock
from usercenter.config.model import Config
from usercenter.db import Database
from usercenter.events import UserLoggedIn
from usercenter.messaging.groups import Context, outside
from usercenter.messaging.leases import Leases
from usercenter.messaging.runner import Runner
from usercenter.metrics import Metrics


async def send(event: UserLoggedIn, context: Context) -> None:
    """Die of the event."""
    if event.user_agent == "deadly":
        os._exit(17)


async def main(url: str) -> None:
    """Work until the process ends."""
    config = Config()
    config = replace(config, database=replace(config.database, url=url))
    database, metrics, clock = Database(config.database), Metrics(), SystemClock()
    await database.open()
    leases = Leases("tasks", database=database, clock=clock, metrics=metrics, lease_seconds=60)
    await leases.beat()
    await Runner(
        config,
        handlers={"send": outside(send)},
        registry=REGISTRY,
        database=database,
        leases=leases,
        context=Context(clock=clock),
        streams={TOPIC: "user_events"},
        schedule=QUICK,
        metrics=metrics,
    ).run()


asyncio.run(main(sys.argv[1]))
