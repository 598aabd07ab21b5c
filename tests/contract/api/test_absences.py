"""The front door when Kafka, the cache or PostgreSQL is not there; on a PostgreSQL of its own, which is stopped."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import psutil
import pytest
from doorway import Door, Lines, problem
from harness import World, eventually
from msgspec.structs import replace

from usercenter import migrations
from usercenter.config.model import Cache, Config, Embedded, Kafka, Mail, Server
from usercenter.db import Database
from usercenter.embedded.parts import running
from usercenter.embedded.postgres import Postgres

NOWHERE = "127.0.0.1:1"


@pytest.fixture(scope="module")
def folder() -> Iterator[str]:
    """Where PostgreSQL keeps its data: outside pytest's own folder, which each pytest that starts closes to others."""
    with tempfile.TemporaryDirectory(prefix="usercenter-") as made:
        yield made


@pytest.fixture(scope="module")
async def alone(folder: str) -> AsyncIterator[Door]:
    """A front door with a PostgreSQL that nobody else uses, and nothing else behind it."""
    config = Config(
        kafka=Kafka(brokers=[NOWHERE]),
        cache=Cache(url=f"redis://{NOWHERE}"),
        mail=Mail(host="127.0.0.1"),
        server=Server(port=0, monitoring_port=0),
        embedded=Embedded(is_enabled=True, data_dir=folder),
    )
    async with running(config, announce=print) as parts:
        config = replace(parts.config, database=replace(parts.config.database, pool_timeout_seconds=1))
        migrations.upgrade(config.database.url)
        database = Database(replace(config.database, pool_min=0, pool_max=2))
        await database.open()
        world = World(parts, config, database)
        async with world.service(roles=["api"]) as (service, client):
            yield Door(world, service, client)
        await database.close()


@pytest.fixture
async def stopped(alone: Door) -> AsyncIterator[Postgres]:
    """PostgreSQL, stopped; started again at the end."""
    postgres = alone.world.parts.postgres
    assert postgres is not None
    await alone.register(alone.person())  # there are connections, which will be found broken
    await postgres.stop()
    try:
        yield postgres
    finally:
        await postgres.start()


async def test_without_kafka_users_register_and_the_events_wait(alone: Door):
    before = await alone.stored()

    assert (await alone.register(alone.person())).status_code == 201

    after = await alone.stored()
    assert (after["outbox"], after["event_log"]) == (before["outbox"] + 1, before["event_log"] + 1)


async def test_without_kafka_the_service_is_ready(alone: Door):
    await eventually(lambda: alone.client.get("/ready"), lambda answer: answer.status_code == 200, what="readiness")


async def test_without_kafka_health_is_degraded_and_names_the_broker_and_the_next_step(alone: Door):
    health = await eventually(
        lambda: alone.client.get("/health"), lambda answer: answer.json()["kafka"]["next_step"], what="a look at Kafka"
    )

    body = health.json()
    assert (health.status_code, body["status"]) == (200, "degraded")
    assert body["kafka"]["is_reachable"] is False
    assert NOWHERE in body["kafka"]["error"]
    assert "start the broker or correct `kafka.brokers`" in body["kafka"]["next_step"]
    assert "outbox" in body["kafka"]["meanwhile"]
    assert body["kafka"]["see"] == "docs/errors/no-broker.md"
    assert "Connection refused" in body["kafka"]["error"]


async def test_without_the_cache_health_says_so_and_what_to_do(alone: Door):
    cache = (await alone.client.get("/health")).json()["cache"]

    assert cache["is_reachable"] is False
    assert "cache.url" in cache["next_step"]


async def test_without_postgresql_requests_are_503_and_told_when_to_come_again(alone: Door, stopped: Postgres):
    body = alone.person()
    answers = [
        await alone.register(body),
        await alone.register(body, Idempotency_Key="meanwhile"),
        await alone.log_in({"username": "ada", "password": "password123"}),
    ]

    for answer in answers:
        assert "try again" in problem(answer, 503, "database_unavailable")["message"]
        assert int(answer.headers["Retry-After"]) >= 1


async def test_without_postgresql_wrong_requests_are_still_400(alone: Door, stopped: Postgres):
    problem(await alone.register({"username": "a"}), 400, "invalid_fields")


async def test_without_postgresql_the_service_lives_and_is_not_ready(alone: Door, stopped: Postgres):
    live, ready, health = await asyncio.gather(*map(alone.client.get, ("/live", "/ready", "/health")))

    assert live.status_code == 200
    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    assert "PostgreSQL" in str(ready.json()["reasons"])
    assert (health.status_code, health.json()["status"]) == (503, "down")
    assert "database.url" in health.json()["postgresql"]["next_step"]


async def test_the_log_says_that_the_database_is_away_and_no_secret(alone: Door, stopped: Postgres, lines: Lines):
    body = alone.person()
    await alone.register(body)

    assert "http.database_unavailable" in {line["event"] for line in lines()}
    password = httpx.URL(alone.config.database.url).password
    assert password
    assert password not in str(lines())
    assert body["email"] not in str(lines())


async def test_the_service_recovers_by_itself_when_postgresql_is_back(alone: Door):
    postgres = alone.world.parts.postgres
    assert postgres is not None
    body = alone.person()
    await postgres.stop()
    try:
        problem(await alone.register(body, Idempotency_Key="both sides"), 503, "database_unavailable")
    finally:
        await postgres.start()

    answer = await eventually(
        lambda: alone.register(body, Idempotency_Key="both sides"),
        lambda seen: seen.status_code != 503,
        what="recovery",
    )
    assert answer.status_code == 201
    assert (await alone.client.get("/ready")).status_code == 200


async def test_each_connection_that_broke_while_nobody_looked_costs_one_503_at_most(alone: Door):
    postgres = alone.world.parts.postgres
    assert postgres is not None
    await alone.register(alone.person())
    await postgres.stop()
    await postgres.start()

    attempts = alone.config.database.pool_max + 1
    answers = [(await alone.register(alone.person())).status_code for _ in range(attempts)]

    assert answers[-1] == 201
    assert set(answers) <= {201, 503}


async def test_a_frozen_postgresql_does_not_freeze_the_answer_to_whether_it_is_there(alone: Door):
    postgres = alone.world.parts.postgres
    assert postgres is not None
    server = psutil.Process(postgres.pid)
    frozen = [server, *server.children(recursive=True)]
    began = time.monotonic()
    for process in frozen:
        process.suspend()
    try:
        ready, health = await asyncio.gather(alone.client.get("/ready"), alone.client.get("/health"))
    finally:
        for process in frozen:
            process.resume()

    assert time.monotonic() - began < 5
    assert (ready.status_code, health.status_code) == (503, 503)
    assert "no answer within 2 s" in str(ready.json()["reasons"])
    await eventually(lambda: alone.register(alone.person()), lambda answer: answer.status_code == 201, what="recovery")
