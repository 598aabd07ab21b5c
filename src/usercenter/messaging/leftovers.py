"""What a batch leaves behind, as rows: tasks for the runner, and dead letters."""

from usercenter.messaging.batch import Broken, Item, Received
from usercenter.messaging.calls import NeverEnded
from usercenter.messaging.dead_letters import DeadLetter
from usercenter.messaging.effects import Failed, Later
from usercenter.messaging.fingerprints import fingerprint
from usercenter.messaging.groups import Group, task_name
from usercenter.messaging.reasons import describe
from usercenter.messaging.tasks import NewTask


class Leftovers:
    """Writes the rows of one group."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def task(self, later: Later | Failed) -> NewTask:
        """What an outside handler has to do, or a record handler has to do again."""
        if isinstance(later, Later):
            return self.waiting(task_name(later.handler.name, later.lane), later.item)
        return self.waiting(later.handler.name, later.item)._replace(
            attempts=1, delay_seconds=later.wait_seconds or 0.0, last_error=describe(later.error)
        )

    def waiting(self, handler: str, item: Item) -> NewTask:
        """A task for this handler (or one of its lanes) that nobody has tried yet."""
        event, message = item
        return NewTask(
            handler=handler,
            user_id=event.user_id,
            sequence=event.sequence,
            event_id=event.id,
            event_type=event.type,
            key=message.key,
            payload=message.value or b"",
            group=self._group.name,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            attempts=0,
            delay_seconds=0.0,
            last_error=None,
            occurred_at=event.occurred_at,
            headers=message.headers,
        )

    def unread(self, broken: Broken) -> DeadLetter:
        """A message that is no event."""
        return self._letter(broken.message, handler="decode", error=broken.error)

    def given_up(self, failed: Failed) -> DeadLetter:
        """An event that a record handler gave up."""
        event = failed.item.event
        letter = self._letter(failed.item.message, handler=failed.handler.name, error=failed.error)
        return letter._replace(event_id=event.id, event_type=event.type, user_id=event.user_id)

    def _letter(self, message: Received, *, handler: str, error: Exception) -> DeadLetter:
        return DeadLetter(
            group=self._group.name,
            handler=handler,
            stream=self._group.stream,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            key=message.key,
            value=message.value,
            headers=message.headers,
            event_id=None,
            event_type=None,
            user_id=None,
            task_position=None,
            attempts=error.times if isinstance(error, NeverEnded) else 1,
            error=describe(error),
            fingerprint=fingerprint(error),
        )
