"""`usercenter operations`: who did what about which work."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import msgspec
from cyclopts import Parameter

from usercenter.cli.failures import CommandFailed
from usercenter.cli.operating import Json, Limit, work
from usercenter.cli.settings import ConfigFile
from usercenter.cli.terminal import show_facts, show_json, show_table

if TYPE_CHECKING:
    from usercenter.bootstrap import Workshop
    from usercenter.messaging.operations.audit import Operation

OperationId = Annotated[UUID, Parameter(help="The operation, as `operations list` names it.")]
Kind = Annotated[str | None, Parameter(help="Of this kind: letters.retry, letters.discard, redrive, tasks.retry_now …")]


def list_(*, kind: Kind = None, limit: Limit = 20, json: Json = False, config: ConfigFile = None) -> None:
    """List what operators did, the latest first."""
    from usercenter.messaging.operations import audit

    async def look(parts: "Workshop") -> "list[Operation]":
        async with parts.database.transaction() as tx:
            return await audit.latest(tx, kind=kind, limit=limit)

    found = work(config, look)
    if json:
        show_json(found)
        return
    show_table(
        ("id", "started", "kind", "state", "by", "counts", "reason"),
        [
            (
                each.id,
                f"{each.started_at:%Y-%m-%d %H:%M:%S}",
                each.kind,
                each.state,
                each.by,
                ", ".join(f"{number} {what}" for what, number in each.counts.items() if number),
                each.reason,
            )
            for each in found
        ],
    )


def show_operation(id: OperationId, /, *, json: Json = False, config: ConfigFile = None) -> None:
    """Show one operation with its selection."""
    from usercenter.messaging.operations import audit

    async def look(parts: "Workshop") -> "Operation | None":
        async with parts.database.transaction() as tx:
            return await audit.find(tx, id)

    found = work(config, look)
    if found is None:
        raise CommandFailed(f"there is no operation {id}: see `usercenter operations list`")
    if json:
        show_json(found)
    else:
        show_facts(msgspec.to_builtins(found))
