"""F6: the network before the broker and before the database fails in every way under load."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.front import Front, ready
from faults.ledger import Allowed, check
from faults.load import Clients
from faults.proxy import Proxy
from faults.report import Figures
from harness import World, eventually
from msgspec.structs import replace

from usercenter.config.model import Config
from usercenter.db import Signal

FAULTS: dict[str, Callable[[Proxy], None]] = {
    "cut": lambda proxy: proxy.cut(),
    "reset": lambda proxy: proxy.reset(),
    "black hole": lambda proxy: proxy.swallow(),
    "no answers": lambda proxy: proxy.swallow("down"),
    "100 ms": lambda proxy: proxy.delay(0.1),
    "slow": lambda proxy: proxy.slow_down(bytes_per_second=20_000),
}

pytestmark = pytest.mark.fault("F6")


@pytest.mark.parametrize(
    ("server", "seconds"),
    [
        pytest.param("database", 0.5, marks=pytest.mark.long),
        pytest.param("broker", 0.5, marks=pytest.mark.long),
        pytest.param("database", 20.0, marks=pytest.mark.long),
        pytest.param("broker", 20.0, marks=pytest.mark.long),
    ],
)
async def test_every_fault_of_the_network_one_after_the_other_loses_and_doubles_nothing(
    world: World,
    front: Front,
    far: Config,
    clients: Callable[..., Clients],
    *,
    file: Path,
    figures: Figures,
    server: str,
    seconds: float,
) -> None:
    proxy = front.to_broker if server == "broker" else front.to_database
    config = replace(far, database=replace(far.database, answer_timeout_seconds=2, pool_timeout_seconds=2))
    recoveries = []
    async with world.service(config=config) as (service, client):
        await ready(client)
        await eventually(service.is_reading, what="the consumers")
        load = clients(lambda: [service.url], clerks=3, pause_seconds=0.05, timeout_seconds=8)
        await load.work(10)
        async with load.at_work():
            for fault in FAULTS.values():
                fault(proxy)
                await Signal().wait(seconds)
                proxy.heal()
                began = time.monotonic()
                await recovered(world)
                recoveries.append(time.monotonic() - began)
        tally = await check(world, file, allowed=Allowed(mails_twice=server == "database"), timeout_seconds=90)

    assert tally.ok >= 10 + 2 * len(FAULTS)
    figures.note(f"before the {server}: {', '.join(FAULTS)}, {seconds:g} s each", tally=tally, recoveries=recoveries)


async def recovered(world: World) -> None:
    """Wait until two more changes were made, and what is committed then is on Kafka; more comes meanwhile."""
    before = await world.count("event_log")
    await eventually(lambda: world.count("event_log"), lambda n: n >= before + 2, what="changes", timeout_seconds=60)
    last = await world.value("select coalesce(max(position), 0) from outbox")
    await eventually(
        lambda: world.value("select count(*) from outbox where position <= %s", last),
        lambda number: number == 0,
        what="the outbox of a moment ago",
        timeout_seconds=60,
    )
