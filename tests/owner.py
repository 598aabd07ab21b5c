"""What tests of the owner's own API share: somebody who is logged in, and the tokens that only mails carry."""

import json
from typing import Any
from uuid import UUID

import httpx
from doorway import Door

from usercenter.clock import SystemClock
from usercenter.users.signed_tokens import SignedTokens
from usercenter.users.tokens import Tokens

USERS = "/api/v1/users"


class Owner:
    """A registered user with a session at one door."""

    def __init__(self, door: Door, body: dict[str, Any], signed_in: dict[str, Any]) -> None:
        self.door = door
        self.body = body
        self.id: str = signed_in["user"]["id"]
        self.token: str = signed_in["token"]
        self.refresh_token: str = signed_in["refresh_token"]

    @property
    def password(self) -> str:
        return str(self.body["password"])

    async def send(
        self, method: str, path: str, body: Any = None, *, client: httpx.AsyncClient | None = None, **headers: str
    ) -> httpx.Response:
        """A request of this user; `path` follows /api/v1/users, or is whole."""
        written = {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        return await (client or self.door.client).request(
            method,
            path if path.startswith("/api/") else USERS + path,
            content=content,
            headers={"Authorization": f"Bearer {self.token}", **kind, **written},
        )

    async def again(self) -> "Owner":
        """The same user, with one more session."""
        answer = await self.door.log_in({"username": self.body["username"], "password": self.password})
        assert answer.status_code == 200, answer.text
        return Owner(self.door, self.body, answer.json())

    async def is_let_in(self) -> bool:
        """Whether the access token works."""
        status = (await self.door.me(self.token)).status_code
        assert status in {200, 401}
        return status == 200

    async def events(self) -> list[dict[str, Any]]:
        """What the event log holds of this user, in order."""
        rows = await self.door.world.rows("select payload from event_log where user_id = %s order by sequence", self.id)
        return [row[0] for row in rows]

    async def asked(self, template: str) -> list[dict[str, Any]]:
        """The mails of this template that were asked for, in order."""
        rows = await self.door.world.rows(
            "select payload from outbox where aggregateid = %s and type = 'notification.requested' order by position",
            self.id,
        )
        return [found for row in rows if (found := json.loads(bytes(row[0])))["template"] == template]

    async def mailed_token(self, template: str) -> str:
        """The token of the last such mail, made as the mail's handler makes it."""
        token_id = (await self.asked(template))[-1]["parameters"]["token_id"]
        return one_time_token(self.door, token_id)


async def owner_at(door: Door, **fields: Any) -> Owner:
    """Somebody new."""
    body = door.person(**fields)
    answer = await door.register(body)
    assert answer.status_code == 201, answer.text
    return Owner(door, body, answer.json())


def one_time_token(door: Door, token_id: str) -> str:
    """The token with this id."""
    key = Tokens(door.config.tokens, clock=SystemClock()).derive_key("one-time token")
    return SignedTokens(key).make(UUID(token_id))


async def give_role(owner: Owner, role: str) -> None:
    """Make somebody an admin or an auditor."""
    await owner.door.world.rows("update users set role = %s where id = %s returning id", role, owner.id)


async def post(door: Door, path: str, body: Any, *, client: httpx.AsyncClient | None = None) -> httpx.Response:
    """A request of somebody unknown."""
    return await (client or door.client).post(USERS + path, json=body)
