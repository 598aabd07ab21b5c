"""The tour of `usercenter demo`: one user, from the registration to the deletion, and everything that follows.

It acts through the public HTTP API alone (but for the first admin's role, which the command gives), looks on at the
real topics, and reads the effects where they are.
"""

import asyncio
import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import httpx
from rich.console import Console
from rich.text import Text

from usercenter.bootstrap import Service
from usercenter.cli import display
from usercenter.cli.display import Line
from usercenter.cli.effects import Effect, Effects
from usercenter.cli.receiver import Receiver, receiving
from usercenter.clock import SystemClock
from usercenter.events import Origin
from usercenter.messaging.router import Received
from usercenter.messaging.tail import Tail, tail
from usercenter.users import roles

if TYPE_CHECKING:
    from usercenter.embedded.parts import Running

USER: Final = {"username": "testuser", "email": "test@example.com", "password": "password123"}
ADMIN: Final = {"username": "operator", "email": "operator@example.com", "password": "password123"}
PHONE: Final = "+14155550123"  # of the range that belongs to nobody
NEW_PASSWORD: Final = "correct horse battery staple"  # noqa: S105  # the demo's, shown on purpose
STRANGER: Final = {"X-Forwarded-For": "203.0.113.7", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
PATIENCE_SECONDS: Final = 20.0
_LOOK_EVERY_SECONDS: Final = 0.005


class Tour:
    """One walk through the service."""

    def __init__(self, console: Console, service: Service, parts: "Running | None") -> None:
        self._console = console
        self._service = service
        self._mail = parts.mail if parts else None
        self._sms = parts.sms if parts else None
        self._lines: list[Line] = []
        self._events: Tail | None = None
        self._event_type = "?"
        self._began = 0.0

    async def show(self) -> bool:
        """Walk, print, and say whether every effect arrived."""
        topics = self._service.config.kafka.topics
        await self._until_ready()
        with ExitStack() as stack:
            tails = [
                stack.enter_context(tail(self._service.config.kafka, name))
                for name in (topics.user_notifications, topics.user_analytics)
            ]
            async with receiving() as receiver, self._client() as client:
                admin = await self._prepare(client, receiver)
                self._events = stack.enter_context(tail(self._service.config.kafka, topics.user_events))
                effects = Effects(self._service, receiver, mail=self._mail, sms=self._sms)
                await self._walk(client, admin, effects, receiver)
            self._console.rule("what lies on the other topics")
            self._console.print(display.topic_table(await asyncio.to_thread(_all_of, tails)))
        self._console.rule("what followed")
        self._console.print(display.effect_table(self._lines))
        return all(line.milliseconds is not None for line in self._lines)

    def say_what_to_try(self, log_file: str) -> None:
        """For a person at a terminal: the service stays up, and this is how to play with it."""
        body = json.dumps({"username": "alice", "email": "alice@example.com", "password": "password123"})
        url = f"{self._service.url}/api/v1/users/register"
        lines = [
            "The service stays up until Ctrl-C. In another terminal, try:",
            f"  curl -X POST {url} -H 'Content-Type: application/json' -d '{body}'",
            f"  curl {self._service.url}/health",
            f"  tail -f {log_file} | grep kafka",
            "  USERCENTER_EMBEDDED__DATA_DIR=.usercenter/demo .venv/bin/usercenter kafka console-consumer \\",
            f"      --topic {self._service.config.kafka.topics.user_events} --from-beginning",
        ]
        if self._mail:
            lines.append(f"The mails are in {self._mail.directory}/")
        if self._sms:
            lines.append(f"The text messages are in {self._sms.directory}/")
        self._console.rule("what to try")
        for line in lines:
            self._console.print(line, markup=False, soft_wrap=True)  # a command stays one line, to be copied

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self._service.url, timeout=PATIENCE_SECONDS)

    async def _until_ready(self) -> None:
        self._console.rule("usercenter")
        self._console.print(f"The service answers at {self._service.url}; waiting for its consumers.")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self._service.is_reading():  # noqa: ASYNC110  # a look at memory, no event to wait for
                await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def _prepare(self, client: httpx.AsyncClient, receiver: Receiver) -> dict[str, str]:
        """An admin, and a webhook of another system; returns the admin's header."""
        answer = await client.post("/api/v1/users/register", json=ADMIN)
        answer.raise_for_status()
        origin = Origin(actor="operator:demo")
        async with self._service.database.transaction() as tx:
            user_id = UUID(answer.json()["user"]["id"])
            await roles.change_role(tx, user_id, "admin", origin=origin, clock=SystemClock())
        admin = _bearer(answer)
        hook = {"url": f"http://localhost:{receiver.port}/hook", "event_types": ["user.updated"]}
        made = await client.post("/api/v1/admin/webhooks", json=hook, headers=admin)
        made.raise_for_status()
        receiver.secret = made.json()["secret"]
        self._console.print("Made ready: an operator with the role admin, and a webhook for user.updated.")
        return admin

    async def _walk(
        self, client: httpx.AsyncClient, admin: dict[str, str], effects: Effects, receiver: Receiver
    ) -> None:
        """The six events, in the life of one user."""
        email = USER["email"]
        answer = await self._call(client, "POST", "/api/v1/users/register", USER)
        user = UUID(answer.json()["user"]["id"])
        await self._watch(effects.of_registration(user, email))
        login = {"email": email, "password": USER["password"]}
        owner = _bearer(await self._call(client, "POST", "/api/v1/users/login", login))
        await self._watch(effects.of_login(user))
        await self._strange_login(client, login, effects.of_strange_login(user, email))
        change = {"first_name": "Testa", "phone": PHONE}
        answer = await self._call(client, "PATCH", "/api/v1/users/me", change, owner)
        await self._watch(effects.of_update(user, answer.json()["user"]["sequence"]))
        for call in [call for call in receiver.calls if call.event["user_id"] == str(user)][:1]:
            self._console.print(display.call_panel(call))
        before = effects.mails_to(email)
        passwords = {"old_password": USER["password"], "new_password": NEW_PASSWORD}
        await self._call(client, "PUT", "/api/v1/users/me/password", passwords, owner)
        await self._watch(effects.of_password(user, email, mails_before=before))
        await self._want_sms(client, owner)
        before = effects.mails_to(email)
        status = {"status": "suspended", "reason": "asked for by the demo"}
        answer = await self._call(client, "PATCH", f"/api/v1/admin/users/{user}/status", status, admin)
        sequence = answer.json()["user"]["sequence"]
        await self._watch(effects.of_status(user, sequence, email, PHONE, mails_before=before))
        before = effects.mails_to(email)
        await self._call(client, "DELETE", f"/api/v1/admin/users/{user}", None, admin)
        await self._watch(effects.of_deletion(user, email, mails_before=before))

    async def _want_sms(self, client: httpx.AsyncClient, owner: dict[str, str]) -> None:
        """The owner's choice to be told by SMS too."""
        choice = {"notifications": {"sms": True}}
        answer = await client.patch("/api/v1/users/me/settings", json=choice, headers=owner)
        answer.raise_for_status()
        self._console.print("[dim]in the settings of testuser: notifications by SMS too[/]")

    async def _strange_login(self, client: httpx.AsyncClient, login: dict[str, str], effects: list[Effect]) -> None:
        """Six wrong passwords and then the right one, from somewhere else with something else."""
        for _ in range(6):
            await client.post("/api/v1/users/login", json=login | {"password": "a wrong guess"}, headers=STRANGER)
        self._console.print("[dim]six wrong passwords from 203.0.113.7, and then:[/]")
        await self._call(client, "POST", "/api/v1/users/login", login, STRANGER)
        await self._watch(effects)

    async def _call(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        body: dict[str, str] | None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """One request, its answer, and its event on Kafka."""
        self._console.rule(f"{method} {path}")
        if body is not None:
            display.show_json(self._console, body)
        self._began = time.perf_counter()
        answer = await client.request(method, path, json=body, headers=headers)
        took = (time.perf_counter() - self._began) * 1000
        self._console.print(f"[bold]{answer.status_code} {answer.reason_phrase}[/] after {took:.0f} ms")
        if answer.content:
            display.show_json(self._console, answer.json())
        answer.raise_for_status()
        await self._show_event(answer.headers["X-Request-Id"])
        return answer

    async def _show_event(self, request_id: str) -> None:
        """The event of this request; others, of what was made ready, are passed over."""
        message = await asyncio.to_thread(self._events_take, request_id)
        if message is None:
            self._lines.append(Line("?", "event on Kafka", None, "did not arrive"))
            return
        self._event_type = message.headers.get("event_type", "?")
        self._console.print(display.event_panel(message))

    def _events_take(self, request_id: str) -> Received | None:
        while self._events and (message := self._events.take(timeout_seconds=PATIENCE_SECONDS)) is not None:
            if message.headers.get("request_id") == request_id:
                return message
        return None

    async def _watch(self, effects: list[Effect]) -> None:
        """Print each effect when it is there."""
        for next_one in asyncio.as_completed([asyncio.create_task(self._wait(effect)) for effect in effects]):
            effect, line = await next_one
            self._lines.append(line)
            if line.milliseconds is None:
                self._console.print(f"[bold red]✗ {line.effect}[/] did not arrive within {PATIENCE_SECONDS:g} s")
                continue
            self._console.print(f"[bold green]✓ {line.effect}[/] after {line.milliseconds:.0f} ms:", Text(line.facts))
            if effect.picture:
                self._console.print(effect.picture())

    async def _wait(self, effect: Effect) -> tuple[Effect, Line]:
        while time.perf_counter() - self._began < PATIENCE_SECONDS:
            if facts := await effect.look():
                return effect, Line(self._event_type, effect.name, (time.perf_counter() - self._began) * 1000, facts)
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        return effect, Line(self._event_type, effect.name, None, "did not arrive")


def _bearer(answer: httpx.Response) -> dict[str, str]:
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def _all_of(tails: list[Tail]) -> list[Received]:
    found: list[Any] = []
    for each in tails:
        while (message := each.take(timeout_seconds=0.5)) is not None:
            found.append(message)
    return found
