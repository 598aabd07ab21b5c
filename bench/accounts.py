"""Accounts to measure with: made by the product's own verbs, logged in through its own API."""

import asyncio
from pathlib import Path
from typing import Final

import httpx

from bench.ground import Ground
from usercenter.events import Origin
from usercenter.users import service
from usercenter.users.drafts import draft_of
from usercenter.users.passwords import Passwords

PASSWORD: Final = "correct horse battery staple"  # noqa: S105  # of accounts that live for a minute
_AT_ONCE: Final = 500
_LOGINS_AT_ONCE: Final = 4


async def open_accounts(ground: Ground, number: int) -> list[str]:
    """So many users, one of whom is an admin, with the same password hash; returns their names, the admin's first."""
    names = [f"user{index:07}" for index in range(number)]
    passwords = Passwords()
    password_hash = await passwords.hash(PASSWORD)
    passwords.close()
    for start in range(0, number, _AT_ONCE):
        async with ground.database.transaction() as tx:
            for name in names[start : start + _AT_ONCE]:
                email = f"{name}@example.com"
                draft = draft_of(ground.config.accounts, username=name, email=email, password=PASSWORD)
                await service.register(tx, draft, password_hash=password_hash, origin=Origin(), clock=ground.clock)
    async with ground.database.transaction() as tx:
        await tx.execute("update users set role = 'admin' where username = %s", (names[0],))
    return names


async def tokens_of(url: str, names: list[str]) -> list[str]:
    """An access token of each, from the API."""
    turns = asyncio.Semaphore(_LOGINS_AT_ONCE)
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        return await asyncio.gather(*(_token(client, name, turns) for name in names))


def written(lines: list[str], path: Path) -> Path:
    """The file with these lines, for wrk."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


async def _token(client: httpx.AsyncClient, name: str, turns: asyncio.Semaphore) -> str:
    async with turns:
        answer = await client.post("/api/v1/users/login", json={"username": name, "password": PASSWORD})
    answer.raise_for_status()
    return str(answer.json()["token"])
