"""One call, against a receiver that does everything that receivers do."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from spans import Kept, facts, words

from usercenter.clock import SystemClock
from usercenter.config.model import Webhooks as Settings
from usercenter.webhooks.model import Outcome
from usercenter.webhooks.network import AddressRefused, CheckedNetwork
from usercenter.webhooks.sender import ANSWER_BYTES, Sender

PUBLIC = "93.184.216.34"


class Diverted(httpcore.AsyncNetworkBackend):
    """Notes which address was to be dialled, and dials the receiver of the test."""

    def __init__(self, port: int) -> None:
        self.dialled: list[str] = []
        self._port = port
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(self, host: str, port: int, *rest: Any, **more: Any) -> httpcore.AsyncNetworkStream:
        self.dialled.append(host)
        return await self._network.connect_tcp("127.0.0.1", self._port)


def resolving(*answers: Sequence[str]):
    """A resolver that says something else each time, and then keeps to the last."""
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    sender = Sender(Settings(allowed_hosts=["localhost"], timeout_seconds=1), clock=SystemClock())
    yield sender
    await sender.close()


async def post(sender: Sender, url: str) -> Outcome:
    return await sender.post(url, {"webhook-id": "1"}, b'{"a":1}')


async def test_a_receiver_gets_the_body_and_the_headers_and_its_yes_counts(sender, receiver):
    outcome = await post(sender, receiver.url + "?a=b")
    assert (outcome.status, outcome.answer, outcome.error, outcome.is_done) == (200, "thanks", None, True)
    (call,) = receiver.calls
    assert (call.path, call.body) == ("/hook?a=b", b'{"a":1}')
    assert call.headers["host"] == f"localhost:{receiver.port}"
    assert call.headers["content-type"] == "application/json"
    assert call.headers["webhook-id"] == "1"
    assert call.headers["user-agent"].startswith("usercenter/")


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_another_answer_is_an_error_with_its_first_bytes(sender, receiver, an_answer, status):
    receiver.answer = an_answer(status, b"no\x00pe \xff", retry_after="7")
    outcome = await post(sender, receiver.url)
    assert (outcome.status, outcome.error, outcome.is_done) == (status, f"answered {status}", False)
    assert outcome.answer == "no\ufffdpe \ufffd"
    assert outcome.retry_after_seconds == 7


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(sender, receiver, an_answer, status):
    receiver.answer = an_answer(status, location=receiver.url + "/elsewhere")
    outcome = await post(sender, receiver.url)
    assert outcome.error == f"answered {status}: redirects are not followed, set the webhook's URL to where it moved"
    assert len(receiver.calls) == 1


async def test_a_receiver_that_hangs_costs_the_timeout_and_no_more(sender, receiver):
    receiver.answer = None
    started = time.monotonic()
    outcome = await post(sender, receiver.url)
    assert (outcome.status, outcome.error) == (None, "no answer within 1 s")
    assert time.monotonic() - started < 3


async def test_a_receiver_that_closes_without_an_answer_is_an_error(sender, receiver):
    receiver.answer = b""
    outcome = await post(sender, receiver.url)
    assert outcome.status is None
    assert outcome.error
    assert outcome.error.startswith("the connection broke before an answer came")


async def test_an_answer_that_is_no_http_is_an_error(sender, receiver):
    receiver.answer = b"SSH-2.0-OpenSSH_9\r\n\r\n"
    assert (await post(sender, receiver.url)).error


async def test_of_a_huge_answer_only_the_beginning_is_read(sender, receiver):
    receiver.answer = b"HTTP/1.1 200 x\r\ncontent-length: 1000000000\r\n\r\n" + b"x" * 100_000
    outcome = await post(sender, receiver.url)
    assert outcome.is_done
    assert outcome.answer == "x" * ANSWER_BYTES


async def test_a_yes_whose_answer_never_ends_is_a_yes(sender, receiver):
    receiver.answer = b"HTTP/1.1 204 x\r\n\r\n"
    assert (await post(sender, receiver.url)).is_done
    receiver.answer = b"HTTP/1.1 200 x\r\ncontent-length: 50\r\n\r\nbegun"
    outcome = await post(sender, receiver.url)
    assert (outcome.status, outcome.answer, outcome.error) == (200, "begun", None)


async def test_nobody_there_is_an_error(sender, receiver):
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    outcome = await post(sender, f"http://localhost:{port}/")
    assert outcome.error
    assert outcome.error.startswith("no connection")


async def test_a_host_that_is_not_allowed_any_more_is_not_called(receiver):
    sender = Sender(Settings(), clock=SystemClock())
    outcome = await post(sender, receiver.url)
    await sender.close()
    assert outcome.error
    assert outcome.error.startswith("the URL must begin with https://")
    assert receiver.calls == []


@pytest.mark.parametrize("addresses", [["127.0.0.1"], [PUBLIC, "10.0.0.1"], ["::1"], ["::ffff:127.0.0.1"]])
async def test_a_name_with_any_private_address_is_not_called(addresses):
    network = Diverted(0)
    checked = CheckedNetwork([], resolve=resolving(addresses), network=network)
    sender = Sender(Settings(), clock=SystemClock(), network=checked)
    outcome = await post(sender, "https://crm.example.com/")
    await sender.close()
    assert outcome.error
    assert "not on the open Internet: nothing was sent" in outcome.error
    assert network.dialled == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "127.1", "::1"])
async def test_what_the_systems_own_resolver_finds_here_is_refused_in_every_notation(host):
    network = Diverted(0)
    with pytest.raises(AddressRefused):
        await CheckedNetwork([], network=network).connect_tcp(host, 443)
    assert network.dialled == []


async def test_a_name_that_cannot_be_resolved_is_an_error():
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise OSError(-2, "Name or service not known")

    sender = Sender(Settings(), clock=SystemClock(), network=CheckedNetwork([], resolve=resolve))
    outcome = await post(sender, "https://crm.example.com/")
    await sender.close()
    assert outcome.error == "no connection: the host name cannot be resolved: Name or service not known"


async def test_a_name_that_means_something_else_the_second_time_leads_nowhere_else(receiver, tls):
    server_context, client_context = tls
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=server_context)
    receiver.answer = b"HTTP/1.1 200 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    network = Diverted(server.sockets[0].getsockname()[1])
    checked = CheckedNetwork([], resolve=resolving([PUBLIC], ["127.0.0.1"]), network=network)
    sender = Sender(Settings(), clock=SystemClock(), network=checked, ssl_context=client_context)

    first = await post(sender, "https://crm.example.com/hook")
    second = await post(sender, "https://crm.example.com/hook")
    await sender.close()
    server.close()
    await server.wait_closed()

    assert first.is_done, first.error
    assert network.dialled == [PUBLIC]  # what was checked, not the name
    assert receiver.calls[0].headers["host"] == "crm.example.com"
    assert second.error
    assert "not on the open Internet" in second.error
    assert len(receiver.calls) == 1


async def test_a_certificate_that_nobody_vouches_for_is_an_error(receiver, tls):
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls[0])
    network = Diverted(server.sockets[0].getsockname()[1])
    checked = CheckedNetwork([], resolve=resolving([PUBLIC]), network=network)
    sender = Sender(Settings(), clock=SystemClock(), network=checked)
    outcome = await post(sender, "https://crm.example.com/hook")
    await sender.close()
    server.close()
    await server.wait_closed()
    assert outcome.error
    assert "CERTIFICATE_VERIFY_FAILED" in outcome.error
    assert receiver.calls == []


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server for crm.example.com, and a client that trusts it, need."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crm.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("crm.example.com")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode())


async def test_a_call_is_one_span_that_says_the_host_and_what_came_of_it(receiver, an_answer):
    kept = Kept()
    settings = Settings(allowed_hosts=["localhost"], timeout_seconds=1)
    sender = Sender(settings, clock=SystemClock(), tracing=kept.tracing)
    await post(sender, receiver.url + "?token=secret")
    receiver.answer = an_answer(503)
    await post(sender, receiver.url)
    receiver.end()
    await post(sender, "http://localhost:1/hook")
    await sender.close()

    done, refused, unreachable = kept.named("POST")
    assert done.kind.name == "CLIENT"
    place = {"http.request.method": "POST", "server.address": "localhost", "server.port": receiver.port}
    assert facts(done) == {**place, "http.response.status_code": 200}
    assert facts(refused) == {**place, "http.response.status_code": 503, "error.type": "503"}
    assert facts(unreachable) == {**place, "server.port": 1, "error.type": "no_answer"}
    assert not [word for word in words(kept.spans()) if "hook" in word or "secret" in word]
