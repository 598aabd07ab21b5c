"""The way out for text messages: one is handed to a provider over HTTP. Another provider is another class here."""

import re
from typing import Any, Final, Protocol

import httpx
import msgspec
import structlog

from usercenter.config.model import Sms
from usercenter.notify.errors import SmsDelayed, SmsNotSent, SmsRefused
from usercenter.notify.lines import one_line
from usercenter.notify.texts import Text
from usercenter.tracing import UNTRACED, Attributes, Tracing

log = structlog.get_logger()

_ABOUT_US: Final = {401, 403, 404, 407, 408, 425, 429}
"""4xx that blame our access, our settings or our haste and not the message: somebody will mend it, so it may wait."""
_NUMBER: Final = re.compile(r"\+?[0-9][0-9 ()-]{5,}[0-9]")
_TEXT_LENGTH: Final = 300


class SmsProvider(Protocol):
    """Whoever delivers text messages. One per process and event loop; any number of tasks may send at once."""

    async def send(self, text: Text) -> str:
        """Returns the provider's own id of the message once it has taken it. Raises SmsRefused, SmsDelayed."""
        ...

    async def close(self) -> None:
        """Let go of all connections. May be called twice."""
        ...


class NoSms:
    """The provider where none is configured: refuses everything, and says what to do."""

    async def send(self, text: Text) -> str:
        raise SmsRefused(None, "no SMS provider is configured: set sms.base_url")

    async def close(self) -> None:
        return


class TwilioSms:
    """Twilio's REST API (`Messages` resource), or anything of the same shape behind `sms.base_url`.

    Twilio knows no idempotency key: after an SmsDelayed without a status the message may have been taken all the same,
    and another attempt sends it twice. `timeout_seconds` bounds each step of a request. Connections are kept.
    """

    def __init__(self, sms: Sms, *, tracing: Tracing = UNTRACED) -> None:
        if not (sms.base_url and sms.account_sid and sms.auth_token and sms.sender):
            raise ValueError("sms.base_url, account_sid, auth_token and sender are needed to send text messages")
        self._path = f"/2010-04-01/Accounts/{sms.account_sid}/Messages.json"
        is_service = re.fullmatch("MG[0-9a-f]{32}", sms.sender) is not None
        self._sender = {"MessagingServiceSid" if is_service else "From": sms.sender}
        self._tracing = tracing
        place = httpx.URL(sms.base_url)
        self._place: Attributes = {
            "http.request.method": "POST",
            "server.address": place.host,
            "server.port": place.port or (80 if place.scheme == "http" else 443),
        }
        self._client = httpx.AsyncClient(
            base_url=sms.base_url,
            auth=httpx.BasicAuth(sms.account_sid, sms.auth_token),
            timeout=sms.timeout_seconds,
            limits=httpx.Limits(max_connections=sms.connections, max_keepalive_connections=sms.connections),
            trust_env=False,
        )

    async def send(self, text: Text) -> str:
        try:
            answer = await self._post({"To": text.to, "Body": text.body, **self._sender})
        except httpx.HTTPError as failure:
            raise SmsDelayed(None, _clean(str(failure) or type(failure).__name__)) from None  # the cause has the body
        if not answer.is_success:
            raise verdict(answer.status_code, answer.content)
        sid = str(_fields(answer.content).get("sid", ""))
        log.info("notify.sms_taken", sid=sid)
        return sid

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, form: dict[str, str]) -> httpx.Response:
        with self._tracing.span("POST", "client", attributes=self._place) as span:
            answer = await self._client.post(self._path, data=form)
            span.tell({"http.response.status_code": answer.status_code})
            if not answer.is_success:
                span.fail(str(answer.status_code))
        return answer


def provider_of(sms: Sms, *, tracing: Tracing = UNTRACED) -> SmsProvider:
    """The provider that the settings name."""
    return TwilioSms(sms, tracing=tracing) if sms.base_url else NoSms()


def verdict(status: int, body: bytes) -> SmsNotSent:
    """What an answer other than 2xx means: a 4xx about the message is final, everything else is for now."""
    fields = _fields(body)
    reason = f"{fields.get('message', 'no reason given')} (code {fields.get('code', 'none')})"
    is_final = 400 <= status <= 499 and status not in _ABOUT_US
    return (SmsRefused if is_final else SmsDelayed)(status, _clean(reason))


def _fields(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _clean(text: str) -> str:
    """One line without phone numbers: providers like to repeat them, and errors are logged and kept."""
    return _NUMBER.sub("<…>", one_line(text))[:_TEXT_LENGTH]
