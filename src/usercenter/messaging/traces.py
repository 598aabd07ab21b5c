"""The spans of the post, as OpenTelemetry's semantic conventions for messaging name them.

The traceparent that a message carries is the context in which it was made, and nothing here changes it. What is done to
a message (sent, processed, attempted) is a child of that context and has a link to it; a batch with messages of several
contexts begins a trace of its own, with a link to each, and so does a set of tasks; each of those has besides, in its
own trace, a span that leads to the set's. `docs/traces.md` draws the tree.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from uuid import UUID

from usercenter.messaging.batch import Received
from usercenter.messaging.causes import only_one, traceparent_of
from usercenter.messaging.outbox import Row
from usercenter.messaging.producer import Receipt
from usercenter.messaging.tasks import Task
from usercenter.tracing import NOTHING, Attributes, Link, Span, Tracing, traceparent_in

_KAFKA: Final = {"messaging.system": "kafka"}


def of_batch(tracing: Tracing, group: str, messages: Sequence[Received]) -> Span:
    """A group works on a batch of one topic."""
    if not tracing.is_on:
        return NOTHING
    topic = messages[0].topic
    attributes: dict[str, Any] = {
        **_KAFKA,
        "messaging.destination.name": topic,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": group,
    }
    if len(messages) == 1:
        attributes |= _place(messages[0])
    else:
        attributes["messaging.batch.message_count"] = len(messages)
    links = [link for message in messages if (link := _link(message))]
    contexts = {link.traceparent for link in links}
    parent = contexts.pop() if len(contexts) == 1 else None
    return tracing.span(f"process {topic}", "consumer", parent=parent, links=links, attributes=attributes)


def of_handler(tracing: Tracing, handler: str, events: int) -> Span:
    """A record handler works on its events of the batch in hand."""
    if not tracing.is_on:
        return NOTHING
    return tracing.span(handler, attributes={"usercenter.handler": handler, "usercenter.events": events})


def of_attempt(tracing: Tracing, task: Task) -> Span:
    """One attempt at a task; each is a span of its own in the trace of the event."""
    if not tracing.is_on:
        return NOTHING
    return _attempt(tracing, task, traceparent_of(task))


@contextmanager
def of_set(tracing: Tracing, tasks: Sequence[Task], traceparents: Mapping[UUID, str]) -> Iterator[None]:
    """Tasks are attempted in one call, which is the parent of what begins inside; the traceparents by event.

    Each task that belongs to a trace has a span there too, as if it were attempted alone, with a link to the call's.
    """
    if not tracing.is_on:
        yield
    elif len(tasks) == 1:
        with of_attempt(tracing, tasks[0]):
            yield
    else:
        with ExitStack() as spans:
            together = _together(tracing, tasks, traceparents)
            for task in tasks:
                if cause := traceparents.get(task.event_id):
                    spans.enter_context(_attempt(tracing, task, cause, together))
            spans.enter_context(together)
            yield


def _together(tracing: Tracing, tasks: Sequence[Task], traceparents: Mapping[UUID, str]) -> Span:
    handler = tasks[0].handler_name
    links = [Link(cause, {"messaging.message.id": str(event_id)}) for event_id, cause in traceparents.items()]
    attributes: Attributes = {"usercenter.handler": handler, "messaging.batch.message_count": len(tasks)}
    parent = only_one(traceparents)
    return tracing.span(f"{handler} set", "consumer", parent=parent, links=links, attributes=attributes)


def _attempt(tracing: Tracing, task: Task, cause: str | None, together: Span = NOTHING) -> Span:
    attributes: Attributes = {
        "usercenter.handler": task.handler_name,
        "usercenter.attempt": task.attempts,
        "usercenter.event.type": task.event_type,
        "messaging.message.id": str(task.event_id),
        "messaging.consumer.group.name": task.group,
    }
    links = [Link(each) for each in (cause, together.traceparent) if each]
    return tracing.span(task.handler_name, "consumer", parent=cause, links=links, attributes=attributes)


class Sendings:
    """The messages on their way to Kafka that belong to a trace; others have no span."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._begun: dict[int, Span] = {}

    def begin(self, row: Row, topic: str) -> None:
        """It was given to the client."""
        if not self._tracing.is_on or (cause := traceparent_in(row.headers)) is None:
            return
        attributes: Attributes = {
            **_KAFKA,
            "messaging.destination.name": topic,
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.message.id": row.headers.get("ce_id", ""),
            "messaging.message.body.size": len(row.payload),
            "usercenter.event.type": row.type,
        }
        self._begun[row.position] = self._tracing.span(
            f"send {topic}", "producer", parent=cause, links=[Link(cause)], attributes=attributes
        )

    def end(self, receipts: Sequence[Receipt]) -> None:
        """The client has said what became of them."""
        if not self._begun:
            return
        for row, error, partition, offset in receipts:
            span = self._begun.pop(row.position, NOTHING)
            if error is not None:
                span.fail(error.name())
            else:
                span.tell({"messaging.destination.partition.id": str(partition), "messaging.kafka.offset": offset or 0})
            span.end()


def _link(message: Received) -> Link | None:
    cause = traceparent_in(message.headers)
    return Link(cause, _place(message)) if cause else None


def _place(message: Received) -> Attributes:
    place: dict[str, Any] = {
        "messaging.destination.partition.id": str(message.partition),
        "messaging.kafka.offset": message.offset,
    }
    if id_ := message.headers.get("ce_id"):
        place["messaging.message.id"] = id_
    return place
