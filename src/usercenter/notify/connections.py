"""A few SMTP connections, kept open between mails."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiosmtplib import SMTP, SMTPException, SMTPRecipientsRefused, SMTPResponseException

from usercenter.config.model import Mail
from usercenter.notify import verdicts
from usercenter.notify.errors import MailDelayed

log = structlog.get_logger()

_CHECK_SECONDS = 5
"""How long a kept connection may take to show that it is alive."""


class Connections:
    """At most `mail.connections` at once; a mail waits for a free one.

    A kept connection is asked (RSET) before it is used again and replaced when it does not answer. `timeout_seconds`
    bounds each step of a conversation, not the whole. Certificates are verified, by the system's authorities or by
    `tls_context`.
    """

    def __init__(self, mail: Mail, *, tls_context: ssl.SSLContext | None = None) -> None:
        if not mail.host:
            raise ValueError("mail.host is empty: name the SMTP server, or start the embedded mail catcher")
        self._mail = mail
        self._tls_context = tls_context
        if self._tls_context is None and mail.security != "none":
            self._tls_context = ssl.create_default_context()
        self._own_name = ""
        self._slots = asyncio.Semaphore(mail.connections)
        self._idle: list[SMTP] = []
        self._is_closed = False

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[SMTP]:
        """A connection for one mail, greeted and logged in. Raises MailDelayed when there is none to be had.

        It is kept afterwards if the server has answered in order, even with a no; anything else (timeout, disconnect,
        cancellation in mid-sentence) ends it.
        """
        async with self._slots:
            client = await self._kept() or await self._opened()
            is_in_order = False
            try:
                yield client
                is_in_order = True
            except (SMTPResponseException, SMTPRecipientsRefused):
                is_in_order = True
                raise
            finally:
                self._put_back(client, is_in_order=is_in_order)

    async def close(self) -> None:
        """Say goodbye on all idle connections; those in use end with their mail. May be called twice."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*map(_quit, idle))

    def _put_back(self, client: SMTP, *, is_in_order: bool) -> None:
        if is_in_order and client.is_connected and not self._is_closed:
            self._idle.append(client)
        else:
            client.close()

    async def _kept(self) -> SMTP | None:
        """An idle connection that answers. If one does not, the server was away, so the others go as well."""
        while self._idle:
            client = self._idle.pop()
            if await _is_alive(client):
                return client
            idle, self._idle = self._idle, []
            for other in idle:
                other.close()
        return None

    async def _opened(self) -> SMTP:
        if self._is_closed:
            raise MailDelayed(None, "this process is stopping")
        client = SMTP(
            hostname=self._mail.host,
            port=self._mail.port,
            username=self._mail.username or None,
            password=self._mail.password or None,
            local_hostname=await self._greeting_name(),
            timeout=self._mail.timeout_seconds,
            use_tls=self._mail.security == "tls",
            start_tls=self._mail.security == "starttls",
            tls_context=self._tls_context,
        )
        try:
            await client.connect()
        except (SMTPException, OSError) as failure:
            raise verdicts.of_connection(failure) from failure
        log.debug("notify.connection_opened", host=self._mail.host, port=self._mail.port)
        return client

    async def _greeting_name(self) -> str:
        """This machine's name for EHLO, looked up once: the resolver may be slow."""
        if not self._own_name:
            self._own_name = await asyncio.to_thread(socket.getfqdn)
        return self._own_name


async def _is_alive(client: SMTP) -> bool:
    is_alive = False
    try:
        await client.rset(timeout=_CHECK_SECONDS)
        is_alive = True
    except (SMTPException, OSError) as failure:
        log.debug("notify.connection_lost", reason=str(failure))
    finally:
        if not is_alive:
            client.close()
    return is_alive


async def _quit(client: SMTP) -> None:
    try:
        await client.quit(timeout=_CHECK_SECONDS)
    except (SMTPException, OSError) as failure:
        log.debug("notify.connection_lost", reason=str(failure))
    finally:
        client.close()
