"""What tests of the front door share: sending, what was stored, and what every error looks like."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
from harness import World

from usercenter.bootstrap import Service
from usercenter.config.model import Config

REGISTER = "/api/v1/users/register"
LOGIN = "/api/v1/users/login"
ME = "/api/v1/users/me"

Lines = Callable[[], list[dict[str, Any]]]


Doors = Callable[[], AbstractAsyncContextManager["Door"]]


class Door:
    """A service with the role `api` alone, and the database behind it."""

    def __init__(self, world: World, service: Service, client: httpx.AsyncClient) -> None:
        self.world = world
        self.service = service
        self.client = client
        self._number = 0

    @property
    def config(self) -> Config:
        return self.world.config

    def person(self, **fields: Any) -> dict[str, Any]:
        """The body of a registration that nobody else sends."""
        self._number += 1
        return self.world.registration(f"person{self._number}", **fields)

    async def register(self, body: Any, **headers: str) -> httpx.Response:
        """POST /register; bytes are sent as they are, as JSON."""
        return await self._post(REGISTER, body, headers)

    async def log_in(self, body: Any, **headers: str) -> httpx.Response:
        """POST /login."""
        return await self._post(LOGIN, body, headers)

    async def me(self, token: str) -> httpx.Response:
        """GET /me."""
        return await self.client.get(ME, headers={"Authorization": f"Bearer {token}"})

    async def stored(self) -> dict[str, int]:
        """How much is kept of all that a registration writes."""
        tables = ("users", "sessions", "event_log", "outbox", "idempotency_keys")
        found = {table: await self.world.count(table) for table in tables}
        facts = "select count(*) from outbox where type = 'analytics.fact'"  # of failed logins, too
        return found | {"outbox": found["outbox"] - await self.world.value(facts)}

    @asynccontextmanager
    async def nothing_stored(self) -> AsyncIterator[None]:
        """Fails when something was stored inside."""
        before = await self.stored()
        yield
        assert await self.stored() == before

    async def _post(self, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        written = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(path, content=content, headers={"Content-Type": "application/json", **written})


def problem(answer: httpx.Response, status: int, error: str) -> dict[str, Any]:
    """The body of an error, after a look at everything that every error has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["error"] == error
    assert body["type"] == f"urn:usercenter:problem:{error}"
    assert body["status"] == body["code"] == status
    assert body["message"] == body["detail"] != ""
    assert body["title"]
    assert body["instance"] == answer.request.url.path
    assert body["request_id"] == answer.headers["X-Request-Id"]
    return body


def fields(body: dict[str, Any]) -> dict[str, str]:
    """The wrong fields that an error names, with their codes."""
    assert all(each["message"] for each in body["errors"])
    return {each["field"]: each["code"] for each in body["errors"]}
