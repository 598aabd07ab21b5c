"""The table of reactions as a company would write it with a framework that only brings messages.

The handlers are the product's own functions, and so is the inbox: the effects are the same, and what differs is the
way to them. Left out is what the product does beside them: it isolates and parks what fails, keeps what nobody can
read, marks a batch as begun, respects erasures, counts and logs.
"""

from collections.abc import Sequence

from usercenter.bootstrap import Workshop
from usercenter.db import Transaction
from usercenter.events import Event, encode
from usercenter.messaging import inbox, tasks
from usercenter.messaging.groups import Group, Record
from usercenter.messaging.tasks import NewTask


async def have_effects(tx: Transaction, parts: Workshop, events: Sequence[Event], *, topic: str) -> None:
    """The inbox and every effect of the product's first group, for events of any types. Does not commit."""
    group = parts.groups[0]
    fresh = await inbox.admit(tx, group.name, [event.id for event in events])
    events = [event for event in events if event.id in fresh]
    left: list[NewTask] = []
    for handler in {each.name: each for each in group.all_handlers()}.values():
        chosen = [event for event in events if handler in group.handlers[type(event)]]
        if chosen and isinstance(handler, Record):
            await handler.run(chosen, tx, parts.context)
        elif chosen:
            left += [_task(handler.name, event, group, topic) for event in chosen]
    await tasks.add(tx, left)


def _task(handler: str, event: Event, group: Group, topic: str) -> NewTask:
    return NewTask(
        handler=handler,
        user_id=event.user_id,
        sequence=event.sequence,
        event_id=event.id,
        event_type=event.type,
        key=str(event.user_id).encode(),
        payload=encode(event),
        group=group.name,
        topic=topic,
        partition=0,
        offset=0,
        attempts=0,
        delay_seconds=0.0,
        last_error=None,
        occurred_at=event.occurred_at,
        headers={},
    )
