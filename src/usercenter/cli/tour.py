"""The tour of `usercenter demo`: one user, from the request to every effect, as it happens.

It acts through the public HTTP API, looks on at the real topic, and reads the effects where they are: in PostgreSQL and
at the SMTP server.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import httpx
from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from usercenter.bootstrap import Service
from usercenter.messaging.router import Received
from usercenter.messaging.tail import Tail, tail

if TYPE_CHECKING:
    from usercenter.embedded.parts import Running

USER: Final = {"username": "testuser", "email": "test@example.com", "password": "password123"}
PATIENCE_SECONDS: Final = 20.0
_LOOK_EVERY_SECONDS: Final = 0.005
_WELCOME_MAIL: Final = "welcome mail"

Look = Callable[[UUID], Awaitable[str | None]]


class Effect(NamedTuple):
    """Something that has to follow, and how to see that it did."""

    name: str
    look: Look


class Line(NamedTuple):
    """A line of the table at the end."""

    event: str
    effect: str
    milliseconds: float | None
    facts: str


class Tour:
    """One walk through the service."""

    def __init__(self, console: Console, service: Service, parts: "Running | None") -> None:
        self._console = console
        self._service = service
        self._mail = parts.mail if parts else None
        self._lines: list[Line] = []

    async def show(self) -> bool:
        """Walk, print, and say whether every effect arrived."""
        kafka = self._service.config.kafka
        await self._until_ready()
        with tail(kafka, kafka.topics.user_events) as events:
            async with httpx.AsyncClient(base_url=self._service.url, timeout=PATIENCE_SECONDS) as client:
                await self._step(client, events, "/api/v1/users/register", USER, self._of_registration())
                login = {"email": USER["email"], "password": USER["password"]}
                await self._step(client, events, "/api/v1/users/login", login, self._of_login())
        self._console.rule("what followed")
        self._console.print(self._table())
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
        self._console.print(Panel(Text("\n".join(lines)), title="what to try"))

    async def _until_ready(self) -> None:
        self._console.rule("usercenter")
        self._console.print(f"The service answers at {self._service.url}; waiting for its consumers.")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self._service.is_reading():  # noqa: ASYNC110  # a look at memory, no event to wait for
                await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def _step(
        self, client: httpx.AsyncClient, events: Tail, path: str, body: dict[str, str], effects: list[Effect]
    ) -> None:
        self._console.rule(f"POST {path}")
        self._console.print(Syntax(json.dumps(body), "json", background_color="default"))
        began = time.perf_counter()
        answer = await client.post(path, json=body)
        took = (time.perf_counter() - began) * 1000
        self._console.print(f"[bold]{answer.status_code} {answer.reason_phrase}[/] after {took:.0f} ms")
        self._console.print(Syntax(_shortened(answer.json()), "json", background_color="default", word_wrap=True))
        answer.raise_for_status()
        user_id = UUID(answer.json()["user"]["id"])
        watching = [asyncio.create_task(self._watch(effect, user_id, began)) for effect in effects]
        event_type = await self._show_event(events)
        for next_one in asyncio.as_completed(watching):
            line = await next_one
            self._lines.append(line._replace(event=event_type))
            self._show_effect(line)

    async def _watch(self, effect: Effect, user_id: UUID, began: float) -> Line:
        while time.perf_counter() - began < PATIENCE_SECONDS:
            if facts := await effect.look(user_id):
                return Line("", effect.name, (time.perf_counter() - began) * 1000, facts)
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        return Line("", effect.name, None, "did not arrive")

    async def _show_event(self, events: Tail) -> str:
        message = await asyncio.to_thread(events.take, timeout_seconds=PATIENCE_SECONDS)
        if message is None:
            self._lines.append(Line("?", "event on Kafka", None, "did not arrive"))
            return "?"
        self._console.print(_event(message))
        return message.headers.get("event_type", "?")

    def _show_effect(self, line: Line) -> None:
        if line.milliseconds is None:
            self._console.print(f"[bold red]✗ {line.effect}[/] did not arrive within {PATIENCE_SECONDS:g} s")
            return
        self._console.print(f"[bold green]✓ {line.effect}[/] after {line.milliseconds:.0f} ms: {line.facts}")
        if line.effect == _WELCOME_MAIL and self._mail:
            mail = self._mail.mails[0]
            names = ("From", "To", "Subject", "Date", "Message-ID")
            head = "\n".join(f"{name}: {mail.message[name]}" for name in names)
            self._console.print(Panel(Text(f"{head}\n\n{mail.text()}"), title="the mail, as the SMTP server got it"))

    def _of_registration(self) -> list[Effect]:
        mail = [Effect(_WELCOME_MAIL, self._welcome_mail)] if self._mail else []
        return [Effect("settings created", self._settings), *mail]

    def _of_login(self) -> list[Effect]:
        return [Effect("login log written", self._login_log), Effect("last login remembered", self._last_login)]

    async def _settings(self, user_id: UUID) -> str | None:
        row = await self._row("select locale, time_zone from user_settings where user_id = %s", user_id)
        return f"language {row[0]}, time zone {row[1]}" if row else None

    async def _welcome_mail(self, user_id: UUID) -> str | None:
        del user_id
        return f"“{self._mail.mails[0].subject}” at the SMTP server" if self._mail and self._mail.mails else None

    async def _login_log(self, user_id: UUID) -> str | None:
        row = await self._row("select logged_in_at, ip_address from login_log where user_id = %s", user_id)
        return f"{row[0]:%H:%M:%S} from {row[1]}" if row else None

    async def _last_login(self, user_id: UUID) -> str | None:
        row = await self._row("select logged_in_at from last_logins where user_id = %s", user_id)
        return f"{row[0]:%H:%M:%S}" if row else None

    async def _row(self, query: Any, user_id: UUID) -> Any:
        async with self._service.database.transaction() as tx:
            return await tx.fetch_one(query, (user_id,))

    def _table(self) -> Table:
        table = Table("event", "effect", "done after", "what")
        for line in self._lines:
            after = "[red]never[/]" if line.milliseconds is None else f"{line.milliseconds:.0f} ms"
            table.add_row(line.event, line.effect, after, line.facts)
        return table


def _event(message: Received) -> Panel:
    table = Table(show_header=False, box=None)
    table.add_row("partition, offset", f"{message.partition}, {message.offset}")
    table.add_row("key", (message.key or b"").decode())
    for name, value in message.headers.items():
        table.add_row(f"header {name}", value)
    value = json.dumps(json.loads(message.value or b"{}"), indent=2, ensure_ascii=False)
    table.add_row("value", Syntax(value, "json", background_color="default", word_wrap=True))
    return Panel(table, title=f"on {message.topic}")


def _shortened(answer: dict[str, Any]) -> str:
    """The answer with its tokens cut: they are as long as they are dull."""
    shown = {name: f"{value[:12]}…" if name.endswith("token") else value for name, value in answer.items()}
    return json.dumps(shown, indent=2, ensure_ascii=False)
