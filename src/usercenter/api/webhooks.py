"""`/api/v1/admin/webhooks`: who is told of what happens to users, and what came of it."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.openapi.spec import OpenAPIType, Schema
from litestar.params import FromPath, JSONBody, QueryParameter

from usercenter.api.access import require_role
from usercenter.api.description import LARGEST
from usercenter.api.injection import ApiRequest, OurServices
from usercenter.api.problems import answer, errors
from usercenter.api.reading import Body, Request, require_json, text
from usercenter.events import USER_EVENTS
from usercenter.events.envelope import type_of
from usercenter.users.errors import Problem
from usercenter.webhooks import queries
from usercenter.webhooks.errors import DeliveryNotFound, EventGone, WebhookInvalid, WebhookNotFound
from usercenter.webhooks.model import ALL, Delivery, Webhook
from usercenter.webhooks.service import found

_BEARER: Final[list[dict[str, list[str]]]] = [{"bearer": []}]
_READ: Final = errors(400, 401, 403, 404, 503)
_WRITE: Final = errors(400, 401, 403, 404, 413, 415, 503)


_URL = text(
    "https, of a public host; or http and any host where the operator allows the host by name.",
    max_length=2_000,
    pattern=r"^https?://[!-\"$-~]+$",
    examples=["https://receiver.example/user-events"],
)
_TYPES = msgspec.Meta(
    extra_json_schema={
        "description": "Types of events; `*` stands for all.",
        "extra": {
            "min_items": 1,
            "items": Schema(type=OpenAPIType.STRING, enum=[*sorted(type_of(event) for event in USER_EVENTS), ALL]),
        },
    }
)
_SECRET = text(
    "`whsec_` and 24 to 64 bytes in base64.",
    pattern=r"^whsec_([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?$",
)


class NewWebhook(Request, frozen=True, kw_only=True):
    """A receiver to be told. Without a secret of its own it gets one."""

    url: Annotated[str, _URL]
    event_types: Annotated[list[str], _TYPES]
    secret: Annotated[str | None, _SECRET] = None

    def __repr__(self) -> str:
        return "NewWebhook(…)"  # it holds a secret


class WebhookChange(Request, frozen=True, kw_only=True):
    """What is to be different; what is left out stays."""

    url: Annotated[str | None, _URL] = None
    event_types: Annotated[list[str] | None, _TYPES] = None
    is_enabled: bool | None = None


class NewSecret(Request, frozen=True, kw_only=True):
    """A secret of the caller's own, or none to have one made."""

    secret: Annotated[str | None, _SECRET] = None

    def __repr__(self) -> str:
        return "NewSecret(…)"  # it holds a secret


class WebhookView(msgspec.Struct, kw_only=True):
    """A webhook as administrators see it; secrets are not shown."""

    id: UUID
    url: str
    event_types: list[str]
    is_enabled: bool
    disabled_reason: str | None
    secrets: Literal[1, 2]
    """How many secrets sign: two during a rotation."""
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookView":
        """The view of a webhook."""
        return cls(
            id=webhook.id,
            url=webhook.url,
            event_types=webhook.event_types,
            is_enabled=webhook.is_enabled,
            disabled_reason=webhook.disabled_reason,
            secrets=2 if len(webhook.sealed_secrets) > 1 else 1,
            created_at=webhook.created_at,
            updated_at=webhook.updated_at,
        )


class WebhookList(msgspec.Struct):
    """All of them, the oldest first."""

    webhooks: list[WebhookView]


class WebhookWithSecret(msgspec.Struct):
    """A webhook with the secret that is shown this once."""

    webhook: WebhookView
    secret: str


class DeliveryList(msgspec.Struct):
    """Attempts, the latest first."""

    deliveries: list[Delivery]
    next_before: int | None
    """Send it as `before` to get the page behind this one; null on the last."""


def _invalid(request: Any, error: WebhookInvalid) -> Any:
    return answer(request, 400, "invalid_fields", str(error), problems=[Problem(*each) for each in error.problems])


def _named(status: int, name: str) -> Any:
    return lambda request, error: answer(request, status, name, str(error))


class WebhookController(Controller):
    """Administrators change, auditors look on."""

    path = "/api/v1/admin/webhooks"
    tags = ("webhooks",)
    security = _BEARER
    exception_handlers = {
        WebhookInvalid: _invalid,
        WebhookNotFound: _named(404, "webhook_not_found"),
        DeliveryNotFound: _named(404, "delivery_not_found"),
        EventGone: _named(409, "event_gone"),
    }

    @get("/", responses=errors(401, 403, 503))
    async def list_webhooks(self, request: ApiRequest, services: OurServices) -> WebhookList:
        """Every webhook."""
        await require_role(request, services, "auditor")
        async with services.database.transaction() as tx:
            return WebhookList([WebhookView.of(webhook) for webhook in await queries.all_of(tx)])

    @post("/", dto=Body[NewWebhook], before_request=require_json, responses=errors(400, 401, 403, 413, 415, 503))
    async def create_webhook(
        self, request: ApiRequest, services: OurServices, data: JSONBody[NewWebhook]
    ) -> WebhookWithSecret:
        """Subscribe a receiver: https, public or allowed by name. The secret is shown this once."""
        await require_role(request, services, "admin")
        async with services.database.transaction() as tx:
            webhook, secret = await services.webhooks.create(
                tx, url=data.url, event_types=data.event_types, secret=data.secret
            )
        return WebhookWithSecret(WebhookView.of(webhook), secret)

    @get("/{webhook_id:uuid}", responses=_READ)
    async def get_webhook(self, request: ApiRequest, services: OurServices, webhook_id: FromPath[UUID]) -> WebhookView:
        """One webhook."""
        await require_role(request, services, "auditor")
        async with services.database.transaction() as tx:
            return WebhookView.of(await found(tx, webhook_id))

    @patch("/{webhook_id:uuid}", dto=Body[WebhookChange], before_request=require_json, responses=_WRITE)
    async def change_webhook(
        self, request: ApiRequest, services: OurServices, webhook_id: FromPath[UUID], data: JSONBody[WebhookChange]
    ) -> WebhookView:
        """Change what is given; enabling one sends nothing of the time when it was disabled."""
        await require_role(request, services, "admin")
        async with services.database.transaction() as tx:
            changes = msgspec.structs.asdict(data)
            return WebhookView.of(await services.webhooks.change(tx, webhook_id, **changes))

    @delete("/{webhook_id:uuid}", responses=_READ)
    async def delete_webhook(self, request: ApiRequest, services: OurServices, webhook_id: FromPath[UUID]) -> None:
        """Forget a webhook with its deliveries; what is on its way to it is not sent."""
        await require_role(request, services, "admin")
        async with services.database.transaction() as tx:
            if not await queries.delete(tx, webhook_id):
                raise WebhookNotFound("there is no webhook with this id (any more)")

    @post(
        "/{webhook_id:uuid}/rotate-secret",
        dto=Body[NewSecret],
        before_request=require_json,
        status_code=200,
        responses=_WRITE,
    )
    async def rotate_secret(
        self, request: ApiRequest, services: OurServices, webhook_id: FromPath[UUID], data: JSONBody[NewSecret]
    ) -> WebhookWithSecret:
        """Begin to sign with a new secret, shown this once, and with the old one beside it."""
        await require_role(request, services, "admin")
        async with services.database.transaction() as tx:
            webhook, secret = await services.webhooks.rotate_secret(tx, webhook_id, secret=data.secret)
        return WebhookWithSecret(WebhookView.of(webhook), secret)

    @post("/{webhook_id:uuid}/end-rotation", status_code=200, responses=_READ)
    async def end_rotation(self, request: ApiRequest, services: OurServices, webhook_id: FromPath[UUID]) -> WebhookView:
        """Sign with the newest secret alone: for when the receiver knows it."""
        await require_role(request, services, "admin")
        async with services.database.transaction() as tx:
            return WebhookView.of(await services.webhooks.end_rotation(tx, webhook_id))

    @get("/{webhook_id:uuid}/deliveries", responses=_READ)
    async def list_deliveries(
        self,
        request: ApiRequest,
        services: OurServices,
        webhook_id: FromPath[UUID],
        before: Annotated[int | None, QueryParameter(ge=1, le=LARGEST, required=False)] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    ) -> DeliveryList:
        """Its attempts with what came of them, the latest first."""
        await require_role(request, services, "auditor")
        async with services.database.transaction() as tx:
            await found(tx, webhook_id)
            page = await queries.deliveries(tx, webhook_id, before=before, limit=limit)
        return DeliveryList(page, page[-1].id if len(page) == limit else None)

    @post(
        "/{webhook_id:uuid}/deliveries/{delivery_id:int}/redeliver",
        status_code=200,
        responses=errors(400, 401, 403, 404, 409, 503),
    )
    async def redeliver(
        self, request: ApiRequest, services: OurServices, webhook_id: FromPath[UUID], delivery_id: FromPath[int]
    ) -> Delivery:
        """Send the event of this attempt again, now, under the same webhook-id; the answer tells what came of it."""
        await require_role(request, services, "admin")
        return await services.webhooks.redeliver(webhook_id, delivery_id)

    @post("/{webhook_id:uuid}/test", status_code=200, responses=_READ)
    async def test(self, request: ApiRequest, services: OurServices, webhook_id: FromPath[UUID]) -> Delivery:
        """Send a `webhook.test` now, even to a disabled one; the answer tells what came of it."""
        who = await require_role(request, services, "admin")
        return await services.webhooks.test(webhook_id, actor=str(who.user.id))
