"""TwilioSms against a real HTTP server that answers as the test wishes."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl

import pytest
from spans import Kept, facts, words

from usercenter.config.model import Server, Sms
from usercenter.notify.errors import SmsDelayed, SmsRefused
from usercenter.notify.sms import NoSms, TwilioSms, provider_of
from usercenter.notify.texts import Text
from usercenter.server import HttpServer

TEXT = Text(to="+4915112345678", body="您的账号 & more", locale="zh-CN")


class Provider:
    """An ASGI application: one answer for all, and what it was asked."""

    def __init__(self) -> None:
        self.status, self.body = 201, b'{"sid": "SM1", "status": "queued"}'
        self.asked: list[tuple[str, str, dict[str, str], dict[str, str]]] = []
        self.clients: set[tuple[str, int]] = set()
        self.is_silent = False

    async def __call__(self, scope, receive, send) -> None:
        form = dict(parse_qsl((await receive())["body"].decode()))
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope["method"], scope["path"], headers, form))
        self.clients.add(tuple(scope["client"]))
        if self.is_silent:
            await receive()  # until the client hangs up
            return
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": self.body})


@pytest.fixture
async def provider() -> AsyncIterator[tuple[Provider, Sms]]:
    application = Provider()
    server = HttpServer(application, Server(stop_seconds=1), port=0)
    await server.start()
    url = f"http://127.0.0.1:{server.address[1]}"
    yield (
        application,
        Sms(base_url=url, account_sid="AC1", auth_token="secret", sender="+4930123456", timeout_seconds=1),
    )
    await server.stop()


@asynccontextmanager
async def sending(sms: Sms) -> AsyncIterator[TwilioSms]:
    client = TwilioSms(sms)
    try:
        yield client
    finally:
        await client.close()


async def test_a_message_is_posted_as_a_form_with_basic_authentication(provider):
    application, sms = provider
    async with sending(sms) as client:
        assert await client.send(TEXT) == "SM1"
    ((method, path, headers, form),) = application.asked
    assert (method, path) == ("POST", "/2010-04-01/Accounts/AC1/Messages.json")
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["authorization"] == "Basic " + base64.b64encode(b"AC1:secret").decode()
    assert form == {"To": TEXT.to, "From": "+4930123456", "Body": TEXT.body}


async def test_a_messaging_service_is_named_as_such(provider):
    application, sms = provider
    service = "MG" + "0a" * 16
    async with sending(
        Sms(**{name: getattr(sms, name) for name in sms.__struct_fields__} | {"sender": service})
    ) as client:
        await client.send(TEXT)
    assert application.asked[0][3] == {"To": TEXT.to, "MessagingServiceSid": service, "Body": TEXT.body}


async def test_connections_are_kept_and_never_more_than_configured(provider):
    application, sms = provider
    async with sending(sms) as client:
        for _ in range(3):
            await client.send(TEXT)
        assert len(application.clients) == 1
        await asyncio.gather(*(client.send(TEXT) for _ in range(12)))
        assert len(application.clients) <= sms.connections


@pytest.mark.parametrize("status", [400, 402, 410, 422])
async def test_an_answer_about_the_message_is_final_and_quotes_no_number(provider, status):
    application, sms = provider
    application.status = status
    application.body = b'{"code": 21211, "message": "Invalid \'To\' Phone Number: +49 151 12345678", "status": 400}'
    async with sending(sms) as client:
        with pytest.raises(SmsRefused) as refused:
            await client.send(TEXT)
    assert str(refused.value).startswith(f"{status} Invalid 'To' Phone Number: <…> (code 21211) (refused for good")


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 502, 503, 302])
async def test_an_answer_about_us_or_the_provider_is_for_now(provider, status):
    application, sms = provider
    application.status, application.body = status, b"<html>"
    async with sending(sms) as client:
        with pytest.raises(SmsDelayed, match=rf"{status} no reason given \(code none\) \(not taken now"):
            await client.send(TEXT)


async def test_silence_is_for_now(provider):
    application, sms = provider
    application.is_silent = True
    async with sending(sms) as client:
        with pytest.raises(SmsDelayed, match="ReadTimeout") as delayed:
            await client.send(TEXT)
    assert delayed.value.status is None


async def test_nobody_there_is_for_now():
    sms = Sms(base_url="http://127.0.0.1:1", account_sid="AC1", auth_token="secret", sender="us")
    async with sending(sms) as client:
        with pytest.raises(SmsDelayed):
            await client.send(TEXT)


async def test_without_a_provider_it_is_said_what_to_set():
    provider = provider_of(Sms())
    assert isinstance(provider, NoSms)
    with pytest.raises(SmsRefused, match=r"set sms\.base_url"):
        await provider.send(TEXT)
    await provider.close()


def test_settings_that_could_never_send_stop_the_start():
    with pytest.raises(ValueError, match="are needed"):
        TwilioSms(Sms(base_url="https://sms.example"))


async def test_a_text_is_one_span_that_says_what_came_of_it_and_nothing_of_the_text(provider):
    application, settings = provider
    kept = Kept()
    sms = TwilioSms(settings, tracing=kept.tracing)
    await sms.send(TEXT)
    application.status = 500
    with pytest.raises(SmsDelayed):
        await sms.send(TEXT)
    await sms.close()

    sent, failed = kept.named("POST")
    assert sent.kind.name == "CLIENT"
    assert facts(sent) == {
        "http.request.method": "POST",
        "http.response.status_code": 201,
        "server.address": "127.0.0.1",
        "server.port": int(settings.base_url.rpartition(":")[2]),
    }
    assert facts(failed)["error.type"] == "500"
    assert TEXT.to not in "".join(words(kept.spans()))
