"""The door of a process without the role `api`."""

import subprocess
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from usercenter.api.service_door import service_door
from usercenter.clock import SystemClock
from usercenter.config.model import Config
from usercenter.db import DatabaseUnavailable
from usercenter.messaging.brokers import KafkaState
from usercenter.metrics import Metrics
from usercenter.tracing import UNTRACED


class Postgres:
    """PostgreSQL, as far as the door asks it."""

    is_there = True

    async def server_version(self) -> str:
        if not self.is_there:
            raise DatabaseUnavailable("it is away")
        return "18.0"


def broken() -> list[str]:
    raise RuntimeError("a bug")


@pytest.fixture
def parts() -> SimpleNamespace:
    """The services that the door needs."""
    return SimpleNamespace(
        config=Config(),
        database=Postgres(),
        cache=None,
        metrics=Metrics(),
        kafka_state=lambda: KafkaState(is_reachable=True, since=SystemClock().now(), asked=["a:9092"]),
        problems=list,
        troubles=list,
        notes=list,
        tracing=UNTRACED,
    )


@pytest.fixture
async def client(parts: SimpleNamespace) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(service_door(cast("Any", parts)))
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as found:
        yield found


async def test_it_says_that_the_process_lives_and_is_ready(client: httpx.AsyncClient) -> None:
    for path in ("/live", "/ready"):
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
        assert answer.json() == {"status": "ok", "reasons": []}


async def test_a_slash_at_the_end_of_an_address_means_nothing_as_at_the_front_door(client: httpx.AsyncClient) -> None:
    assert (await client.get("/live/")).json() == {"status": "ok", "reasons": []}
    counted = 'usercenter_http_request_duration_seconds_count{method="GET",route="/live",status="200"} 1.0'
    assert counted in (await client.get("/metrics")).text


async def test_it_is_not_ready_without_postgresql(client: httpx.AsyncClient, parts: SimpleNamespace) -> None:
    parts.database.is_there = False

    answer = await client.get("/ready")

    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "reasons": ["PostgreSQL: it is away"]}
    assert (await client.get("/health")).status_code == 503


async def test_health_says_what_the_process_is_connected_to(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["kafka"]["asked"] == ["a:9092"]
    assert answer.json()["postgresql"] == {"is_reachable": True, "version": "18.0"}


async def test_the_metrics_are_prometheus_text_and_count_the_requests(client: httpx.AsyncClient) -> None:
    await client.get("/live")
    await client.get("/stranger")
    await client.request("PROPFIND", "/live")

    answer = await client.get("/metrics")

    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    counted = 'usercenter_http_request_duration_seconds_count{method="%s",route="%s",status="%s"} 1.0'
    for labels in (("GET", "/live", "200"), ("GET", "other", "404"), ("other", "other", "405")):
        assert counted % labels in answer.text


async def test_what_is_not_there_is_told_as_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/users/register", json={})

    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["error"] == "not_found"
    assert answer.json()["instance"] == "/api/v1/users/register"
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


async def test_a_method_that_an_address_does_not_take_is_told_with_those_it_takes(client: httpx.AsyncClient) -> None:
    refused, options = await client.post("/ready"), await client.options("/ready")

    assert (refused.status_code, refused.json()["error"]) == (405, "method_not_allowed")
    assert options.status_code == 204
    assert refused.headers["Allow"] == options.headers["Allow"] == "GET, OPTIONS"
    assert (await client.head("/ready")).status_code == 200


async def test_a_fault_of_ours_is_told_without_its_reason(client: httpx.AsyncClient, parts: SimpleNamespace) -> None:
    parts.problems = broken

    answer = await client.get("/ready")

    assert (answer.status_code, answer.json()["error"]) == (500, "internal_error")
    assert "a bug" not in answer.text


def test_a_process_without_the_front_door_has_not_imported_the_web_framework() -> None:
    program = "import sys, usercenter.cli.process; sys.exit('litestar' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0  # noqa: S603  # our own words
