"""A client's desk: each request is written down before it is sent, and again with what came of it."""

import random
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import httpx
import msgspec
from faults.journal import Journal, State

from usercenter.db import Signal

PASSWORD = "password123"
AWAY_SECONDS = 0.05
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Account(msgspec.Struct, kw_only=True):
    """What a clerk knows about an account."""

    username: str
    email: str
    id: str = ""
    password: str = PASSWORD
    token: str | None = None
    status: str = "active"
    is_left: bool = False
    """Its state is not known any more, or it is deleted."""


class Desk:
    """Sends a clerk's requests to one of the doors."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        doors: Callable[[], Sequence[str]],
        journal: Journal,
        *,
        chance: random.Random,
        prefix: str,
    ) -> None:
        self._http = http
        self._doors = doors
        self._journal = journal
        self._chance = chance
        self._prefix = prefix
        self._numbers = count(1)

    def new_id(self) -> str:
        """An id that no other operation has."""
        return f"{self._prefix}.{next(self._numbers)}"

    async def send(
        self,
        kind: str,
        account: Account,
        expected: dict[str, Any],
        route: str,
        body: Any,
        *,
        id: str | None = None,
        by: Account | None = None,
    ) -> tuple[State, Any]:
        """One request with its lines in the file; returns what is known about it, and the answer's body."""
        journal, door = self._journal, await self._door()
        id, token = id or self.new_id(), (by or account).token
        method, path = route.split()
        headers = {"X-Request-ID": id, "Idempotency-Key": id, "User-Agent": "clerk"}
        headers |= {"Authorization": f"Bearer {token}"} if token and not path.endswith("/login") else {}
        expected = {"username": account.username, "email": account.email, **expected}
        journal.write(id, kind, "intent", username=account.username, expected=expected, user_id=account.id or None)
        try:
            answer = await self._http.request(method, f"{door}{path}", json=body, headers=headers)
        except httpx.HTTPError as error:
            state: State = "fail" if isinstance(error, NOT_SENT) else "unknown"
            journal.write(id, kind, state, reason=type(error).__name__)
            await Signal().wait(AWAY_SECONDS)
            return state, None
        if not answer.is_success:
            state = "fail" if answer.status_code < 500 else "unknown"
            journal.write(id, kind, state, status=answer.status_code, reason=_reason(answer))
            await Signal().wait(AWAY_SECONDS)
            return state, None
        found = answer.json() if answer.content else {}
        user = found.get("user", {})
        journal.write(id, kind, "ok", status=answer.status_code, user_id=user.get("id"), sequence=user.get("sequence"))
        return "ok", found

    async def _door(self) -> str:
        """One of the URLs, waited for where there is none."""
        while not (doors := sorted(self._doors())):
            await Signal().wait(AWAY_SECONDS)
        return self._chance.choice(doors)


def _reason(answer: httpx.Response) -> str:
    try:
        return f"{answer.status_code} {answer.json()['error']}"
    except (ValueError, KeyError):
        return str(answer.status_code)
