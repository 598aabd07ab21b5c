"""`usercenter webhooks`."""

import asyncio
import getpass
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from uuid import UUID

import msgspec
from cyclopts import Parameter

from usercenter.cli import WRONG_USAGE
from usercenter.cli.failures import CommandFailed
from usercenter.cli.operating import NOTHING_CHANGED, NUMBERED, Json, Limit, Yes
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import plain, say, show, show_json

if TYPE_CHECKING:
    from usercenter.config import Config
    from usercenter.db import Database
    from usercenter.webhooks.model import Delivery
    from usercenter.webhooks.service import Webhooks

_UNKNOWN: Final = "there is no webhook with this id: see `usercenter webhooks list`"
WebhookId = Annotated[UUID, Parameter(help="The webhook's id in the list.")]
DeliveryId = Annotated[int, Parameter(validator=NUMBERED, help="The delivery's number in the list.")]
T = TypeVar("T")
Work = Callable[["Webhooks", "Database"], Coroutine[Any, Any, T]]


def list_(*, json: Json = False, config: ConfigFile = None) -> None:
    """List the webhooks: who is told of what."""
    from usercenter.webhooks import queries

    async def look(_: "Webhooks", database: "Database") -> list[Any]:
        async with database.transaction() as tx:
            return await queries.all_of(tx)

    found = _with_webhooks(config, look)
    if json:
        show_json([{**msgspec.structs.asdict(each), "sealed_secrets": len(each.sealed_secrets)} for each in found])
        return
    for each in found:
        state = "enabled" if each.is_enabled else f"disabled: {each.disabled_reason}"
        show(plain(f"{each.id}  {each.url}  {','.join(each.event_types)}  {state}"))


def create(
    url: Annotated[str, Parameter(help="Where to send events: https, public or in webhooks.allowed_hosts.")],
    /,
    *,
    events: Annotated[
        list[str] | None,
        Parameter(name=["--events", "-e"], negative="", help="An event type; may be repeated. All unless given."),
    ] = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Subscribe a receiver, and print the webhook's id and its secret, which is not shown again."""

    async def subscribe(webhooks: "Webhooks", database: "Database") -> tuple[UUID, str]:
        async with database.transaction() as tx:
            webhook, secret = await webhooks.create(tx, url=url, event_types=events or ["*"])
        return webhook.id, secret

    id_, secret = _with_webhooks(config, subscribe)
    if json:
        show_json({"id": id_, "secret": secret})
    else:
        show(f"{id_}  {secret}")
    say("give the secret to the receiver, it is not shown again")


def delete(webhook_id: WebhookId, /, *, yes: Yes = False, config: ConfigFile = None) -> None:
    """Forget a webhook with its deliveries; without --yes only say which."""
    from usercenter.webhooks import queries
    from usercenter.webhooks.service import found

    async def forget(_: "Webhooks", database: "Database") -> str:
        async with database.transaction() as tx:
            webhook = await found(tx, webhook_id, for_update=yes)
            if yes:
                await queries.delete(tx, webhook_id)
            return webhook.url

    url = _with_webhooks(config, forget)
    show(plain(f"{webhook_id} to {url} with its deliveries {'deleted' if yes else 'would be deleted'}"))
    if not yes:
        say(NOTHING_CHANGED)


def deliveries(webhook_id: WebhookId, /, *, limit: Limit = 20, json: Json = False, config: ConfigFile = None) -> None:
    """List attempts with what came of them, the latest first; as JSON with the first bytes of each answer."""
    from usercenter.webhooks import queries
    from usercenter.webhooks.service import found as webhook_of

    async def look(_: "Webhooks", database: "Database") -> list["Delivery"]:
        async with database.transaction() as tx:
            await webhook_of(tx, webhook_id)
            return await queries.deliveries(tx, webhook_id, before=None, limit=limit)

    found = _with_webhooks(config, look)
    if json:
        show_json(found)
        return
    for each in found:
        show(_line(each))


def redeliver(
    webhook_id: WebhookId, delivery_id: DeliveryId, /, *, json: Json = False, config: ConfigFile = None
) -> None:
    """Send the event of an earlier attempt again, now; status 1 when the receiver does not take it."""
    _show(_with_webhooks(config, lambda webhooks, _: webhooks.redeliver(webhook_id, delivery_id)), json=json)


def send_test(webhook_id: WebhookId, /, *, json: Json = False, config: ConfigFile = None) -> None:
    """Send a `webhook.test` now; status 1 when the receiver does not take it."""
    _show(
        _with_webhooks(config, lambda webhooks, _: webhooks.test(webhook_id, actor=f"operator:{getpass.getuser()}")),
        json=json,
    )


def _with_webhooks(path: Any, work: Work[T]) -> T:
    """Run this on the database of the configuration. Raises CommandFailed for what the caller can mend."""
    from usercenter.webhooks.errors import WebhookError, WebhookInvalid, WebhookNotFound

    async def run() -> T:
        async with _opened(of_running(path)) as (webhooks, database):
            return await work(webhooks, database)

    try:
        return asyncio.run(run())
    except WebhookInvalid as error:
        raise CommandFailed(str(error), status=WRONG_USAGE) from error
    except WebhookNotFound as error:
        raise CommandFailed(_UNKNOWN, status=WRONG_USAGE) from error
    except WebhookError as error:
        raise CommandFailed(str(error)) from error


@asynccontextmanager
async def _opened(config: "Config") -> AsyncIterator[tuple["Webhooks", "Database"]]:
    from usercenter.bootstrap import webhooks_of
    from usercenter.clock import SystemClock
    from usercenter.db import Database

    database = Database(config.database)
    webhooks = webhooks_of(config, database=database, clock=SystemClock())
    await database.open()
    try:
        yield webhooks, database
    finally:
        await webhooks.close()
        await database.close()


def _show(delivery: "Delivery", *, json: bool) -> None:
    if json:
        show_json(delivery)
    else:
        show(_line(delivery))
    if delivery.error is not None:
        raise CommandFailed("the receiver did not take it")


def _line(delivery: "Delivery") -> str:
    when = delivery.delivered_at.isoformat(timespec="seconds")
    came = delivery.error or f"answered {delivery.status}"
    return plain(
        f"{delivery.id}  {when}  {delivery.event_type}  attempt {delivery.attempt}  {delivery.took_ms} ms  {came}"
    )
