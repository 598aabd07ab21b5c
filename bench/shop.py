"""The table of reactions as a company would write it with a framework that only brings messages.

The handlers are the product's own functions, and so is the inbox: the effects are the same, and what differs is the
way to them. Left out is what the product does beside them: it isolates and parks what fails, keeps what nobody can
read, marks a batch as begun, respects erasures, counts and logs.
"""

from collections.abc import Sequence

from bench import errands
from usercenter.bootstrap import Workshop
from usercenter.db import Transaction
from usercenter.events import Event
from usercenter.messaging import inbox, tasks
from usercenter.messaging.groups import Record
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
            left += [errands.task(event, handler.name, topic=topic, group=group.name, headers={}) for event in chosen]
    await tasks.add(tx, left)
