"""Seeded clients: they register, log in, change and delete accounts over HTTP, and write down what they were told."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx
import msgspec
from faults.desk import PASSWORD, Account, Desk
from faults.journal import Journal, State
from harness import World

from usercenter.db import Signal

USERS = "/api/v1/users"
ADMIN = "/api/v1/admin/users"


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """What clients do, and how often."""

    clerks: int = 4
    accounts: int = 3
    """How many accounts each clerk looks after at a time."""
    pause_seconds: float = 0.0
    """Between two operations of one clerk."""
    timeout_seconds: float = 15.0
    """After this time without an answer the outcome is unknown."""
    register: float = 3
    log_in: float = 4
    update: float = 6
    password: float = 1
    status: float = 1
    delete: float = 0.5


class Clients:
    """Clerks at the doors of one world. `doors` says at any time which URLs there are; none is waited for."""

    def __init__(
        self,
        world: World,
        doors: Callable[[], Sequence[str]],
        journal: Journal,
        *,
        seed: int,
        habits: Habits | None = None,
    ) -> None:
        self.world = world
        self.journal = journal
        self.seed = seed
        self.habits = habits or Habits()
        self.begun = 0
        """How many operations were begun."""
        self.doors = doors
        self._numbers = count(1)
        self._admin: Account | None = None
        self._is_ending = False

    async def work(self, operations: int) -> None:
        """Do so many operations, spread over the clerks."""
        goal = self.begun + operations
        await self._all(lambda: self.begun >= goal)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Work until the block ends; then each clerk ends what it is at. What breaks a clerk breaks the block."""
        self._is_ending = False
        working = asyncio.create_task(self._all(lambda: self._is_ending))
        try:
            yield
        except BaseException:
            working.cancel()  # there may be no door any more
            raise
        self._is_ending = True
        await working

    async def _all(self, is_enough: Callable[[], bool]) -> None:
        async with httpx.AsyncClient(timeout=self.habits.timeout_seconds) as http:
            if self._admin is None and self.habits.status:
                self._admin = await self._new_admin(http)
            clerks = (Clerk(self, http, number, self._admin) for number in range(self.habits.clerks))
            await asyncio.gather(*(clerk.work(is_enough) for clerk in clerks))

    async def _new_admin(self, http: httpx.AsyncClient) -> Account:
        clerk = Clerk(self, http, self.habits.clerks, None)
        admin = await clerk.register(lambda: False)
        assert admin is not None
        await self.world.rows("update users set role = 'admin' where id = %s returning id", admin.id)
        return admin

    def next_name(self) -> str:
        """A username that nobody else of this world has."""
        return f"user{next(self._numbers)}"


class Clerk:
    """One client, which does one thing after the other."""

    def __init__(self, clients: Clients, http: httpx.AsyncClient, number: int, admin: Account | None) -> None:
        self._clients = clients
        self._admin = admin
        self._chance = random.Random(f"{clients.seed}/{number}/{clients.begun}")  # noqa: S311  # repeatable, not secret
        prefix = f"{clients.world.config.kafka.client_id}.{clients.seed}.{number}.{clients.begun}"
        self._desk = Desk(http, clients.doors, clients.journal, chance=self._chance, prefix=prefix)
        self._accounts: list[Account] = []

    async def work(self, is_enough: Callable[[], bool]) -> None:
        """Go on until it is enough."""
        pause = self._clients.habits.pause_seconds
        while not is_enough():
            self._accounts = [account for account in self._accounts if not account.is_left]
            await self._one(is_enough)
            if pause:
                await Signal().wait(pause)

    async def register(self, is_enough: Callable[[], bool]) -> Account | None:
        """Open an account; while the outcome is unknown it is asked again under the same Idempotency-Key."""
        name = self._clients.next_name()
        account = Account(username=name, email=self._clients.world.email(name))
        body = {"username": name, "email": account.email, "password": PASSWORD, "first_name": "Ada"}
        id = self._desk.new_id()
        expected = {name: body[name] for name in ("username", "email", "first_name")}
        while True:
            state, answer = await self._send(
                "user.registered", account, expected, f"POST {USERS}/register", body, id=id
            )
            if state == "ok":
                account.id, account.token = answer["user"]["id"], answer["token"]
                return account
            if state == "fail" or is_enough():
                return None

    async def _one(self, is_enough: Callable[[], bool]) -> None:
        habits = self._clients.habits
        is_full = len(self._accounts) >= habits.accounts
        account = self._chance.choice(self._accounts) if self._accounts else None
        weights: dict[Callable[[Account], Awaitable[None]], float]
        if account is None or (not is_full and self._chance.random() < self._share_of_register()):
            new = await self.register(is_enough)
            self._accounts += [new] if new else []
            return
        if account.status != "active":
            weights = {self._activate: 1}
        elif account.token is None:
            weights = {self._log_in: 1}
        else:
            weights = {
                self._log_in: habits.log_in,
                self._update: habits.update,
                self._change_password: habits.password,
                self._suspend: habits.status,
                self._delete: habits.delete + (habits.register / 2 if is_full else 0),
            }
        (act,) = self._chance.choices(list(weights), weights=list(weights.values()))
        await act(account)

    def _share_of_register(self) -> float:
        habits = self._clients.habits
        others = habits.log_in + habits.update + habits.password + habits.status + habits.delete
        return habits.register / ((habits.register + others) or 1)

    async def _log_in(self, account: Account) -> None:
        body = {"username": account.username, "password": account.password}
        state, answer = await self._send(
            "user.logged_in", account, {"user_agent": "clerk"}, f"POST {USERS}/login", body
        )
        if state == "ok":
            account.token = answer["token"]

    async def _update(self, account: Account) -> None:
        changes = {"last_name": f"Name {self._chance.getrandbits(40)}"}
        await self._send("user.updated", account, {"changes": changes}, f"PATCH {USERS}/me", changes)

    async def _change_password(self, account: Account) -> None:
        new = f"password{self._chance.getrandbits(40)}"
        body = {"old_password": account.password, "new_password": new}
        state, _ = await self._send("user.password_changed", account, {}, f"PUT {USERS}/me/password", body)
        account.is_left = state == "unknown"  # which password is it now?
        account.password = new if state == "ok" else account.password

    async def _suspend(self, account: Account) -> None:
        await self._change_status(account, "suspended")
        account.token = None  # its sessions have ended

    async def _activate(self, account: Account) -> None:
        await self._change_status(account, "active")

    async def _change_status(self, account: Account, status: str) -> None:
        expected = {"old_status": account.status, "new_status": status, "reason": "a test"}
        body = {"status": status, "reason": "a test"}
        route = f"PATCH {ADMIN}/{account.id}/status"
        state, _ = await self._send("user.status_changed", account, expected, route, body, by=self._admin)
        account.is_left = state == "unknown"
        account.status = status if state == "ok" else account.status

    async def _delete(self, account: Account) -> None:
        expected, body = {"deleted_by": account.id}, {"password": account.password}
        state, _ = await self._send("user.deleted", account, expected, f"DELETE {USERS}/me", body)
        account.is_left = state != "fail"

    async def _send(
        self, kind: str, account: Account, expected: dict[str, Any], route: str, body: Any, **how: Any
    ) -> tuple[State, Any]:
        self._clients.begun += 1
        return await self._desk.send(kind, account, expected, route, body, **how)
