"""Processes that stop in order, and processes that are killed."""

import asyncio
import contextlib
import json
import signal
from collections import defaultdict

import httpx
import pytest
from harness import World, eventually
from msgspec.structs import replace

from usercenter import bootstrap
from usercenter.clock import SystemClock
from usercenter.server import PortTaken


async def test_two_workers_share_a_group_and_one_killed_in_mid_stream_loses_and_doubles_nothing(world: World) -> None:
    users = 300
    async with (
        world.process(roles="api,relay") as front,
        world.process(roles="worker") as doomed,
        world.process(roles="worker") as survivor,
    ):
        names = [f"user{number}" for number in range(users)]
        registering = asyncio.create_task(register_and_some_log_in(front.url, world, names))
        await eventually(
            lambda: world.count("user_settings"),
            lambda number: number > users // 4,
            what="the middle of the stream",
        )
        assert await doomed.stop(signal.SIGKILL) == -signal.SIGKILL
        assert set(await registering) == {200, 201}
        await eventually(
            lambda: world.count("user_settings"), lambda n: n == users, what="all settings", timeout_seconds=60
        )
        await eventually(
            lambda: len({mail.message_id for mail in world.mails()}),
            lambda number: number == users,
            what="a mail to each",
            timeout_seconds=60,
        )
        await eventually(lambda: world.count("tasks"), lambda number: number == 0, what="the end of the tasks")
        await eventually(lambda: world.count("login_log"), lambda n: n == users // 10, what="the login log")
        assert await survivor.stop() == 0

    assert await world.count("outbox") == 0
    assert await world.count("dead_letters") == 0
    assert await world.count("last_logins") == users // 10
    assert sequences_on_kafka(world) == await sequences_in_the_log(world)


async def test_a_service_told_to_stop_under_load_ends_with_0_and_has_lost_nothing(world: World) -> None:
    async with world.process() as first:
        loading = asyncio.create_task(load_until_it_stops(first.url, world))
        await eventually(lambda: world.count("user_settings"), lambda number: number > 40, what="some load")
        assert await first.stop() == 0
        acknowledged = await loading

    assert await world.value("select count(*) from users where username = any(%s)", acknowledged) == len(acknowledged)
    assert await world.value("select count(*) from leases where owner is not null") == 0
    async with world.process() as second:
        users = await world.count("users")
        await eventually(lambda: world.count("user_settings"), lambda number: number == users, what="all settings")
        await eventually(
            lambda: len({mail.message_id for mail in world.mails()}), lambda n: n == users, what="a mail to each"
        )
        await eventually(lambda: world.count("tasks"), lambda number: number == 0, what="the end of the tasks")
        assert await second.stop() == 0

    assert len(world.mails()) == users  # in order stopped, so none twice
    assert sequences_on_kafka(world) == await sequences_in_the_log(world)


async def test_a_process_without_the_api_answers_health_and_metrics_on_the_monitoring_port(world: World) -> None:
    async with world.process(roles="relay,worker") as process, httpx.AsyncClient(base_url=process.url) as client:
        assert (await client.get("/live")).status_code == 200
        await eventually(lambda: ready(client), what="readiness")
        assert "usercenter_outbox_depth" in (await client.get("/metrics")).text
        assert (await client.post("/api/v1/users/register", json={})).status_code == 404


async def test_a_taken_port_is_an_error_that_names_the_setting(world: World) -> None:
    async with world.process(roles="api") as process:
        port = int(process.url.rsplit(":", 1)[1])
        status, said = await world.command("run", "--roles", "api", server_port=port)

    assert status == 1
    assert "USERCENTER_SERVER__PORT" in said


async def test_a_second_worker_on_one_machine_needs_a_monitoring_port_of_its_own(world: World) -> None:
    async with world.process(roles="relay") as process:
        port = int(process.url.rsplit(":", 1)[1])
        taken = replace(world.config, server=replace(world.config.server, monitoring_port=port))
        with pytest.raises(PortTaken, match=r"USERCENTER_SERVER__MONITORING_PORT=\d+ \(0 takes a free one"):
            bootstrap.Service(taken, roles=("relay",), clock=SystemClock(), passwords=None)


@pytest.mark.parametrize("roles", ["", "api,cook"])
async def test_an_unknown_role_is_an_error_that_lists_the_roles(world: World, roles: str) -> None:
    status, said = await world.command("run", "--roles", roles)

    assert status == 2
    assert "api, relay, worker" in said


async def register_and_some_log_in(url: str, world: World, names: list[str]) -> list[int]:
    """Register all, and let every tenth log in afterwards; returns the answers' statuses."""
    statuses: list[int] = []
    waiting = list(enumerate(names))
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def clerk() -> None:
            while waiting:
                number, name = waiting.pop()
                body = world.registration(name)
                statuses.append((await client.post("/api/v1/users/register", json=body)).status_code)
                if number % 10 == 0:
                    login = {"username": name, "password": body["password"]}
                    statuses.append((await client.post("/api/v1/users/login", json=login)).status_code)

        await asyncio.gather(*(clerk() for _ in range(8)))
    return statuses


async def load_until_it_stops(url: str, world: World) -> list[str]:
    """Register user after user until the server is gone; returns the names that were acknowledged."""
    acknowledged: list[str] = []
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:

        async def clerk(number: int) -> None:
            with contextlib.suppress(httpx.HTTPError):
                for round_ in range(10_000):
                    name = f"user{number}.{round_}"
                    answer = await client.post("/api/v1/users/register", json=world.registration(name))
                    assert answer.status_code == 201
                    acknowledged.append(name)

        await asyncio.gather(*(clerk(number) for number in range(8)))
    return acknowledged


def sequences_on_kafka(world: World) -> dict[str, list[int]]:
    """Each user's sequences as they lie on user.events; an event sent again counts where it first lies."""
    found: dict[str, dict[int, None]] = defaultdict(dict)
    for message in world.messages("user_events"):
        event = json.loads(message.value or b"")
        found[event["user_id"]][event["sequence"]] = None
    return {user: list(sequences) for user, sequences in found.items()}


async def sequences_in_the_log(world: World) -> dict[str, list[int]]:
    """Each user's sequences as they were committed."""
    rows = await world.rows("select user_id::text, array_agg(sequence order by sequence) from event_log group by 1")
    return {row[0]: row[1] for row in rows}


async def ready(client: httpx.AsyncClient) -> bool:
    """Whether the process says that it is ready."""
    return (await client.get("/ready")).status_code == 200
