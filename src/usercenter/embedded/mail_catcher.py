"""An SMTP server that delivers nothing: it keeps each mail as an .eml file and in memory, and tells subscribers."""

import asyncio
import itertools
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path
from typing import Any

import structlog

from usercenter.embedded import packages, ports
from usercenter.embedded.errors import PartUnavailable

log = structlog.get_logger()

KEPT_IN_MEMORY = 10_000
"""Older mails are in their files alone."""
LARGEST_MAIL_BYTES = 10_000_000


class CaughtMail:
    """One mail as it came over the wire: the envelope, the bytes, and the file that keeps them."""

    def __init__(self, *, sender: str, recipients: list[str], content: bytes, path: Path) -> None:
        self.sender = sender
        self.recipients = recipients
        self.content = content
        self.path = path

    @cached_property
    def message(self) -> EmailMessage:
        """The parsed mail: headers decoded, parts by `get_body`."""
        return message_from_bytes(self.content, policy=policy.default)

    @property
    def subject(self) -> str:
        return str(self.message["Subject"] or "")

    @property
    def message_id(self) -> str:
        return str(self.message["Message-ID"] or "")

    def text(self, kind: str = "plain") -> str:
        """The body of this kind (`plain` or `html`) with plain line ends; empty where the mail has none."""
        body = self.message.get_body((kind,))
        return str(body.get_content()).replace("\r\n", "\n") if body is not None else ""


class MailCatcher:
    """The server. `mails` are those caught by this object; the files of earlier runs stay in `directory` too."""

    name = "the mail catcher"
    usual_port = 1025

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self.mails: deque[CaughtMail] = deque(maxlen=KEPT_IN_MEMORY)
        self._numbers = itertools.count(1)
        self._subscribers: set[asyncio.Queue[CaughtMail]] = set()
        self._server: asyncio.Server | None = None
        self._sessions: weakref.WeakSet[Any] = weakref.WeakSet()

    async def start(self) -> None:
        """Listen; nothing where it already does. A port once taken is kept. Raises PartUnavailable."""
        if self._server is not None:
            return
        smtp = packages.load("aiosmtpd.smtp", part=self.name, setting="mail.host")
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for port in [self.port] if self.port else ports.candidates(self.usual_port):
            try:
                self._server = await asyncio.get_running_loop().create_server(
                    lambda: self._new_session(smtp), ports.HOST, port
                )
            except OSError as error:
                log.info("embedded.port_taken", part=self.name, port=port, reason=str(error))
            else:
                self.port = port
                return
        raise PartUnavailable(self.name, f"port {self.port} is taken.", "Free it, or set mail.host to a server.")

    async def stop(self) -> None:
        """Refuse new connections and drop the open ones, as a server that goes away does. May be called twice."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for session in list(self._sessions):
            if session.transport is not None:
                session.transport.close()
        await server.wait_closed()

    @contextmanager
    def subscribed(self) -> Iterator["asyncio.Queue[CaughtMail]"]:
        """A queue of the mails that come from now on."""
        queue: asyncio.Queue[CaughtMail] = asyncio.Queue()
        self._subscribers.add(queue)
        try:
            yield queue
        finally:
            self._subscribers.discard(queue)

    async def mail_to(self, address: str, *, timeout_seconds: float = 10) -> CaughtMail:
        """The first mail to this address, caught before or to come. Raises TimeoutError."""
        with self.subscribed() as coming:
            found = next((mail for mail in self.mails if address in mail.recipients), None)
            async with asyncio.timeout(timeout_seconds):
                while found is None:
                    mail = await coming.get()
                    found = mail if address in mail.recipients else None
        return found

    def _new_session(self, smtp: Any) -> Any:
        """One connection's protocol of aiosmtpd, remembered so that `stop` can end it."""
        session = smtp.SMTP(self, hostname="localhost", enable_SMTPUTF8=True, data_size_limit=LARGEST_MAIL_BYTES)
        self._sessions.add(session)
        return session

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd calls it
        """Keep the mail, then say so to the client."""
        mail = CaughtMail(
            sender=envelope.mail_from or "",
            recipients=list(envelope.rcpt_tos),
            content=envelope.original_content,
            path=self.directory / self._next_file_name(),
        )
        await asyncio.to_thread(mail.path.write_bytes, mail.content)
        self.mails.append(mail)
        for queue in self._subscribers:
            queue.put_nowait(mail)
        return f"250 OK: kept as {mail.path.name}"

    def _next_file_name(self) -> str:
        return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{next(self._numbers):05}.eml"
