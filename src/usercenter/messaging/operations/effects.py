"""Effect once: for the handlers that say how their effect is seen, each handled event is held against it.

That an effect is not there twice needs no look: those tables have the event's id as their primary key.
"""

from collections.abc import Iterable
from typing import Any, Final, LiteralString

from usercenter.db import Transaction
from usercenter.events import Event, type_of
from usercenter.messaging.groups import Group, Record
from usercenter.messaging.operations.books import Ledger
from usercenter.messaging.operations.report import EXAMPLES, Finding


async def lacking(tx: Transaction, group: Group, ledger: Ledger) -> list[Finding]:
    """Events that the group has handled and whose effect is not there.

    Left out are those with an open task or any dead letter of the handler, and those of erased users, unless their
    type outlives an erasure.
    """
    found = []
    for handler, condition in _checked(group):
        parameters = ledger.facts | _types(group, handler) | {"handler": handler.name, "limit": EXAMPLES}
        rows = await tx.fetch_all(
            _HANDLED + "and (" + condition + ") order by e.created_at limit %(limit)s", parameters
        )
        if rows:
            found.append(_finding(handler, group, rows))
    return found


def _checked(group: Group) -> Iterable[tuple[Record, LiteralString]]:
    records = {each.name: each for each in group.all_handlers() if isinstance(each, Record)}
    return [(each, each.lacks) for each in records.values() if each.lacks is not None]


def _types(group: Group, handler: Record) -> dict[str, Any]:
    classes: list[type[Event]] = [each for each, handlers in group.handlers.items() if handler in handlers]
    return {
        "types": [type_of(each) for each in classes],
        "outliving": [type_of(each) for each in classes if each.outlives_erasure],
    }


def _finding(handler: Record, group: Group, rows: list[Any]) -> Finding:
    return Finding(
        invariant="effect once",
        what=f"events that {group.name} has handled without an effect of {handler.name}",
        count=rows[0][0],
        examples=[str(row[1]) for row in rows],
        next_step=f"`usercenter replay --handler {handler.name}` does them again"
        if handler.replay == "repeatable"
        else f"{handler.name} may not be repeated: look at the events one by one",
    )


_HANDLED: Final = """
select count(*) over (), e.id from event_log e join inbox i on i.group_name = %(group)s and i.event_id = e.id
where e.type = any(%(types)s)
and (%(user_id)s::uuid is null or e.user_id = %(user_id)s)
and not exists (select 1 from tasks t where t.event_id = e.id and t.handler = %(handler)s)
and not exists (select 1 from dead_letters d where d.event_id = e.id and d.handler = %(handler)s)
and (e.type = any(%(outliving)s) or not exists (select 1 from erasures x where x.user_id = e.user_id))
"""
