"""A real SMTP server in the test's own event loop, which answers as the test wishes and remembers what it saw."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from usercenter.config.model import Mail

Answer = str | Callable[[], Awaitable[str]]


class PostOffice:
    """Counts its connections and keeps its mail. `answers` maps MAIL, RCPT, DATA or RSET to what is said, not 250."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, is_tls_at_once: bool = False, password: str = "") -> None:
        self.mail: list[Envelope] = []
        self.mail_options: list[list[str]] = []
        self.answers: dict[str, Answer] = {}
        self.connections = 0
        self.open_at_most = 0
        self.port = 0
        self.is_empty = asyncio.Event()
        self.offers_smtputf8 = True
        self._tls, self._is_tls_at_once, self._password = tls, is_tls_at_once, password
        self._open: set[asyncio.BaseTransport] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._session, "127.0.0.1", self.port, ssl=self._tls if self._is_tls_at_once else None
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self.drop_all()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def drop_all(self) -> None:
        """Cut every connection, as a server does that is killed."""
        for transport in list(self._open):
            transport.abort()

    def entered(self, transport: asyncio.BaseTransport) -> None:
        self._open.add(transport)
        self.is_empty.clear()
        self.connections += 1
        self.open_at_most = max(self.open_at_most, len(self._open))

    def left(self, transport: asyncio.BaseTransport) -> None:
        self._open.discard(transport)
        if not self._open:
            self.is_empty.set()

    def _session(self) -> SMTP:
        has_starttls = self._tls is not None and not self._is_tls_at_once
        return _Session(
            self,
            enable_SMTPUTF8=self.offers_smtputf8,
            tls_context=self._tls if has_starttls else None,
            require_starttls=has_starttls,
            authenticator=self._authenticate if self._password else None,
            auth_required=bool(self._password),
        )

    def _authenticate(self, server, session, envelope, mechanism, auth_data) -> AuthResult:
        return AuthResult(success=auth_data.password.decode() == self._password, handled=False)

    async def _answer(self, verb: str) -> str | None:
        answer = self.answers.get(verb)
        return await answer() if callable(answer) else answer

    async def handle_MAIL(self, server, session, envelope, address, mail_options) -> str:  # noqa: N802  aiosmtpd names it
        if answer := await self._answer("MAIL"):
            return answer
        envelope.mail_from = address
        self.mail_options.append(mail_options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options) -> str:  # noqa: N802  aiosmtpd names it
        if answer := await self._answer("RCPT"):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802  aiosmtpd names it
        if answer := await self._answer("DATA"):
            return answer
        self.mail.append(envelope)
        return f"250 OK queued as {len(self.mail)}"

    async def handle_RSET(self, server, session, envelope) -> str:  # noqa: N802  aiosmtpd names it
        return await self._answer("RSET") or "250 OK"


class _Session(SMTP):
    def __init__(self, office: PostOffice, **options) -> None:
        super().__init__(office, hostname="post.example", **options)
        self._office = office
        self._raw: asyncio.BaseTransport | None = None

    def connection_made(self, transport) -> None:
        if self._raw is None:  # a second time after STARTTLS
            self._raw = transport
            self._office.entered(transport)
        super().connection_made(transport)

    def connection_lost(self, error) -> None:
        self._office.left(self._raw)
        super().connection_lost(error)


OpenOffice = Callable[..., AbstractAsyncContextManager[PostOffice]]


@pytest.fixture
def open_office() -> OpenOffice:
    """Opens a post office with the given options and closes it at the end of the `async with`."""

    @asynccontextmanager
    async def opened(**options) -> AsyncIterator[PostOffice]:
        office = PostOffice(**options)
        await office.open()
        try:
            yield office
        finally:
            await office.close()

    return opened


@pytest.fixture
async def office(open_office: OpenOffice) -> AsyncIterator[PostOffice]:
    async with open_office() as office:
        yield office


@pytest.fixture
def settings() -> Callable[..., Mail]:
    """The settings of a mailer for this post office."""

    def of(office: PostOffice, **changes) -> Mail:
        return Mail(**{"host": "127.0.0.1", "port": office.port, "security": "none", "timeout_seconds": 10} | changes)

    return of


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A self-signed certificate for 127.0.0.1: the server's TLS context, and the context of a client that trusts it."""
    folder: Path = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "post.example")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(secret)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cafile=str(folder / "cert.pem"))
