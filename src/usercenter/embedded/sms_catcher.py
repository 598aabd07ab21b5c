"""An SMS provider that delivers nothing: it answers as Twilio does, keeps each message as a file and in memory."""

import asyncio
import base64
import itertools
import re
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
import structlog

from usercenter.config.model import Server
from usercenter.embedded import ports
from usercenter.embedded.errors import PartUnavailable
from usercenter.server import HttpServer, PortTaken

log = structlog.get_logger()

KEPT_IN_MEMORY: Final = 10_000
"""Older messages are in their files alone."""
_PATH: Final = re.compile(r"/2010-04-01/Accounts/([A-Za-z0-9]+)/Messages\.json")
_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")


class CaughtSms(msgspec.Struct, frozen=True, kw_only=True):
    """One message as it came; `sender` is a number, a name, or the id of a messaging service."""

    sid: str
    to: str
    sender: str
    body: str
    caught_at: datetime


class Refusal(Exception):
    """The request is not as Twilio wants it: HTTP status, Twilio's own code, and a sentence."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.answer = {"code": code, "message": message, "status": status}


class SmsCatcher:
    """The server. `texts` are those caught by this object; the files of earlier runs stay in `directory` too."""

    name = "the SMS catcher"
    usual_port = 1026

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self.texts: deque[CaughtSms] = deque(maxlen=KEPT_IN_MEMORY)
        self._numbers = itertools.count(1)
        self._server: HttpServer | None = None

    @property
    def url(self) -> str:
        """What `sms.base_url` has to be."""
        return f"http://{ports.HOST}:{self.port}"

    async def start(self) -> None:
        """Listen; nothing where it already does. A port once taken is kept. Raises PartUnavailable."""
        if self._server is not None:
            return
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for port in [self.port] if self.port else ports.candidates(self.usual_port):
            try:
                self._server = HttpServer(self, Server(host=ports.HOST, stop_seconds=1), port=port)
            except PortTaken as error:
                log.info("embedded.port_taken", part=self.name, port=port, reason=str(error))
            else:
                self.port = port
                await self._server.start()
                return
        raise PartUnavailable(self.name, f"port {self.port} is taken.", "Free it, or set sms.base_url to a provider.")

    async def stop(self) -> None:
        """Refuse new connections and end the open ones. May be called twice."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """The ASGI application: one request."""
        body, is_whole = b"", False
        while not is_whole:
            part = await receive()
            body, is_whole = body + part.get("body", b""), not part.get("more_body", False)
        try:
            status, answer = 201, await self._keep(_message_in(scope, body, number=next(self._numbers)))
        except Refusal as refusal:
            status, answer = refusal.status, refusal.answer
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": msgspec.json.encode(answer)})

    async def _keep(self, caught: CaughtSms) -> dict[str, Any]:
        """Keep the message, and say so in Twilio's words."""
        path = self.directory / f"{caught.caught_at:%Y%m%dT%H%M%S.%f}-{caught.sid[-5:]}.json"
        await asyncio.to_thread(path.write_bytes, msgspec.json.format(msgspec.json.encode(caught)))
        self.texts.append(caught)
        return {"sid": caught.sid, "status": "queued", "to": caught.to, "from": caught.sender, "body": caught.body}


def _message_in(scope: Mapping[str, Any], body: bytes, *, number: int) -> CaughtSms:
    """The message of a request. Raises Refusal."""
    asked = _PATH.fullmatch(scope["path"])
    if asked is None or scope["method"] != "POST":
        raise Refusal(404, 20404, f"The requested resource {scope['path']} was not found")
    if _account_of(dict(scope["headers"]).get(b"authorization", b"")) != asked[1]:
        raise Refusal(401, 20003, "Authenticate")
    form = dict(parse_qsl(body.decode(errors="replace")))
    if not _NUMBER.fullmatch(form.get("To", "")):
        raise Refusal(400, 21211, f"Invalid 'To' Phone Number: {form.get('To', '')}")
    sender = form.get("From") or form.get("MessagingServiceSid")
    if not sender:
        raise Refusal(400, 21603, "A 'From' phone number is required.")
    if not form.get("Body"):
        raise Refusal(400, 21602, "Message body is required.")
    return CaughtSms(
        sid=f"SM{number:032x}", to=form["To"], sender=sender, body=form["Body"], caught_at=datetime.now(UTC)
    )


def _account_of(authorization: bytes) -> str:
    """The user name of HTTP basic authentication; empty where there is none. Any password will do."""
    scheme, _, credentials = authorization.decode("latin-1").partition(" ")
    try:
        name, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return ""
    return name if scheme.lower() == "basic" and password else ""
