"""A worker whose handler kills its own process, as exhausted memory would; run by tests with a database's URL.

With the word `batch` behind the URL it handles one batch, read from stdin, and ends; else it works off the tasks.
"""

import asyncio
import os
import sys
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace
from receiving import QUICK, REGISTRY, TOPIC

from usercenter.clock import SystemClock
from usercenter.config.model import Config
from usercenter.db import Database, Transaction
from usercenter.events import UserLoggedIn
from usercenter.messaging.batch import Received
from usercenter.messaging.equipment import Equipment
from usercenter.messaging.groups import Context, Group, outside, record
from usercenter.messaging.leases import Leases
from usercenter.messaging.router import Router
from usercenter.messaging.runner import Runner
from usercenter.metrics import Metrics


async def send(event: UserLoggedIn, context: Context) -> None:
    """Die of the event."""
    if event.user_agent == "deadly":
        os._exit(17)


async def write(events: Sequence[UserLoggedIn], tx: Transaction, context: Context) -> None:
    """Die of one of the events, when the others have had their effect."""
    for event in events:
        await tx.execute(
            "insert into effects (handler, event_id, user_id) values ('write', %s, %s)", (event.id, event.user_id)
        )
    if any(event.user_agent == "deadly" for event in events):
        os._exit(17)


async def handle_batch(database: Database, config: Config) -> None:
    """Handle the batch that lies on stdin."""
    await Router(
        Group("usercenter", "user_events", {UserLoggedIn: (record(write), outside(send))}),
        registry=REGISTRY,
        database=database,
        context=Context(clock=SystemClock()),
        config=config,
        schedule=QUICK,
        metrics=Metrics(),
    ).handle(msgspec.json.decode(sys.stdin.buffer.read(), type=list[Received]))


async def main(url: str, work: str = "tasks") -> None:
    """Work until the process ends, or the batch is handled."""
    config = Config()
    config = replace(config, database=replace(config.database, url=url))
    database, metrics, clock = Database(config.database), Metrics(), SystemClock()
    await database.open()
    if work == "batch":
        await handle_batch(database, config)
        await database.close()
        return
    leases = Leases("tasks", database=database, clock=clock, metrics=metrics, lease_seconds=60)
    await leases.beat()
    equipment = Equipment(
        config=config,
        registry=REGISTRY,
        database=database,
        leases=leases,
        context=Context(clock=clock),
        streams={TOPIC: "user_events"},
        schedule=QUICK,
        metrics=metrics,
    )
    await Runner(equipment, handlers={"send": outside(send)}).run()


asyncio.run(main(*sys.argv[1:]))
