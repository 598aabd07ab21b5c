"""The SMS catcher answers as Twilio does, and keeps each message twice (file, memory)."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from usercenter.config.model import Sms
from usercenter.embedded.sms_catcher import CaughtSms, SmsCatcher
from usercenter.notify.errors import SmsDelayed, SmsRefused
from usercenter.notify.sms import TwilioSms
from usercenter.notify.texts import Text

NUMBER = "+4915112345678"


@pytest.fixture
async def catcher(tmp_path: Path) -> AsyncIterator[SmsCatcher]:
    catcher = SmsCatcher(tmp_path / "sms")
    await catcher.start()
    yield catcher
    await catcher.stop()


async def send(catcher: SmsCatcher, to: str, body: str = "你好") -> str:
    client = TwilioSms(Sms(base_url=catcher.url, account_sid="embedded", auth_token="any", sender="us"))
    try:
        return await client.send(Text(to=to, body=body, locale="en"))
    finally:
        await client.close()


async def test_a_message_is_kept_in_memory_and_as_a_file(catcher: SmsCatcher) -> None:
    sid = await send(catcher, NUMBER)
    (text,) = catcher.texts
    assert (text.sid, text.to, text.sender, text.body) == (sid, NUMBER, "us", "你好")
    (file,) = catcher.directory.iterdir()
    assert msgspec.json.decode(file.read_bytes(), type=CaughtSms) == text


async def test_a_number_that_is_none_is_refused_as_twilio_does(catcher: SmsCatcher) -> None:
    with pytest.raises(SmsRefused, match="code 21211"):
        await send(catcher, "0151")
    assert not catcher.texts


@pytest.mark.parametrize(
    ("path", "account", "form", "answered"),
    [
        ("/elsewhere", "embedded", {}, (404, 20404)),
        ("/2010-04-01/Accounts/embedded/Messages.json", "other", {}, (401, 20003)),
        ("/2010-04-01/Accounts/embedded/Messages.json", None, {}, (401, 20003)),
        ("/2010-04-01/Accounts/embedded/Messages.json", "embedded", {"To": NUMBER}, (400, 21603)),
        ("/2010-04-01/Accounts/embedded/Messages.json", "embedded", {"To": NUMBER, "From": "us"}, (400, 21602)),
    ],
)
async def test_what_twilio_refuses_is_refused(catcher: SmsCatcher, path, account, form, answered) -> None:
    async with httpx.AsyncClient(base_url=catcher.url, auth=(account, "any") if account else None) as client:
        answer = await client.post(path, data=form)
    assert (answer.status_code, answer.json()["code"]) == answered


async def test_a_stopped_catcher_comes_back_on_the_same_port(catcher: SmsCatcher) -> None:
    port = catcher.port
    await catcher.stop()
    with pytest.raises(SmsDelayed):
        await send(catcher, NUMBER)
    await catcher.start()
    await send(catcher, NUMBER)
    assert (catcher.port, len(catcher.texts)) == (port, 1)
