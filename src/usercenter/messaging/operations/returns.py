"""How a dead letter becomes work again: as the task that it was, at its old place in its lane, with no attempt made.

A letter that nobody could read is read by today's code and handled as its group would do it; one that Kafka refused
goes into the outbox again. What cannot become work stays a letter, and why is said.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID
from zlib import crc32

from usercenter.db import Transaction, is_transient
from usercenter.events import Event, Registry, Undecodable, UnknownType, new_id
from usercenter.messaging import erasures, inbox, outbox, tasks
from usercenter.messaging.batch import Item, Received, read
from usercenter.messaging.effects import Effects, Later
from usercenter.messaging.groups import Context, Group, Handler, Outside, Schedule, handlers_by_name, task_name
from usercenter.messaging.leftovers import Leftovers
from usercenter.messaging.operations import task_queries
from usercenter.messaging.operations.letter_queries import Letter
from usercenter.messaging.operations.task_queries import Restored
from usercenter.messaging.outbox import RawMessage
from usercenter.messaging.reasons import describe
from usercenter.messaging.shards import SHARDS, shard_of

DECODE: Final = "decode"
RELAY: Final = "relay"


class Refused(Exception):
    """The letter cannot become work again; the message says why and what to do."""


class Returned(NamedTuple):
    """A letter that is work again."""

    letter: Letter
    event: Event | None
    """What of it became tasks, if that is known."""
    is_applied: bool = False
    """There was nothing left to do: its event was handled already, or its user is gone."""


class Kept(NamedTuple):
    """A letter that stays one, and why."""

    letter: Letter
    reason: str


class Readable(NamedTuple):
    """What today's code reads in a letter that nobody could read."""

    item: Item
    group: Group
    handlers: tuple[Handler, ...]


class Returns:
    """Gives letters back, with the handlers and events that this service has today."""

    def __init__(
        self, *, groups: Sequence[Group], registry: Registry, streams: Mapping[str, str], context: Context
    ) -> None:
        self.registry = registry
        self.context = context
        self.handlers = handlers_by_name(groups)
        self._groups = {group.name: group for group in groups}
        self._streams = streams

    async def put_back(self, tx: Transaction, letters: Sequence[Letter]) -> list[Returned | Kept]:
        """Make work of letters that the caller has locked, and will settle. Does not commit."""
        results: dict[int, Returned | Kept] = {}
        plain: list[tuple[Letter, Event | None]] = []
        for letter in letters:
            try:
                if letter.handler in {DECODE, RELAY}:
                    results[letter.id] = await self._special(tx, letter)
                else:
                    plain.append((letter, self.event_of(letter)))
            except Refused as refused:
                results[letter.id] = Kept(letter, str(refused))
        await _restore(tx, plain)
        results |= {letter.id: Returned(letter, event) for letter, event in plain}
        return [results[letter.id] for letter in letters]

    def event_of(self, letter: Letter) -> Event | None:
        """The event of a handler's letter; None if today's code cannot read it, which its next attempt will say.

        Raises Refused for what cannot become a task again.
        """
        check_kept(letter)
        if letter.handler_name not in self.handlers:
            raise Refused(
                f"this configuration has no handler {letter.handler_name}: bring it back, or discard the letter"
            )
        try:
            return self.registry.decode(letter.value)  # what reached a handler is kept in our flat form
        except (Undecodable, UnknownType):
            return None

    def read_again(self, letter: Letter) -> Readable:
        """What today's code makes of bytes that nobody could read, and who handles it. Raises Refused."""
        group = self._groups.get(letter.group)
        if group is None:
            raise Refused(f"this configuration has no group {letter.group}: discard the letter")
        message = Received(
            letter.topic, letter.partition or 0, letter.offset or 0, letter.key, letter.value, letter.headers
        )
        batch = read([message], self.registry)
        if batch.broken:
            raise Refused(f"still cannot be read: {batch.broken[0].error}")
        item = batch.items[0] if batch.items else None
        if item is None or type(item.event) not in group.handlers:
            raise Refused(f"can be read by now, and nobody in {letter.group} handles this type: discard the letter")
        return Readable(item, group, group.handlers[type(item.event)])

    def message_of(self, letter: Letter) -> RawMessage:
        """The message that Kafka refused. Raises Refused."""
        stream = self._streams.get(letter.topic)
        if stream is None:
            raise Refused(
                f"this configuration has no topic {letter.topic}: name it in kafka.topics, or discard the letter"
            )
        key = (letter.key or b"").decode()
        return RawMessage(
            id=letter.event_id or new_id(),
            stream=stream,
            key=key,
            shard=_shard(key),
            type=letter.event_type or "",
            payload=letter.value or b"",
            headers=letter.headers,
        )

    async def _special(self, tx: Transaction, letter: Letter) -> Returned:
        check_kept(letter)
        if letter.handler == RELAY:
            await outbox.add_raw(tx, [self.message_of(letter)])
            return Returned(letter, None)
        readable = self.read_again(letter)
        try:
            async with tx.savepoint():
                return await self._admit(tx, letter, readable)
        except Exception as error:
            if is_transient(error):
                raise
            raise Refused(describe(error)) from error

    async def _admit(self, tx: Transaction, letter: Letter, readable: Readable) -> Returned:
        """Handle it as its group would have: admitted once, and each handler gets its task."""
        item, group, handlers = readable
        fresh = await inbox.admit(tx, group.name, [item.event.id])
        if not fresh or not await erasures.without_erased(tx, [item]):
            return Returned(letter, item.event, is_applied=True)
        left = Effects(tx, self.context, schedule=Schedule(), busy=())
        names: list[str] = []
        for handler in handlers:
            if isinstance(handler, Outside):
                await left.leave(handler, [item])
            else:
                names.append(handler.name)
        names += [task_name(each.handler.name, each.lane) for each in left.later if isinstance(each, Later)]
        await tasks.add(tx, [Leftovers(group).waiting(name, item) for name in names])
        return Returned(letter, item.event)


def check_kept(letter: Letter) -> None:
    """Raises Refused for a letter whose bytes were purged with its user's data."""
    if letter.error == "erased":
        raise Refused("its user was deleted and its data purged: discard the letter")


async def _restore(tx: Transaction, letters: Sequence[tuple[Letter, Event | None]]) -> None:
    rows = [
        Restored(
            letter.id,
            event.sequence if event else None,
            event.occurred_at if event else letter.died_at,
            shard_of(_user_of(letter)),
        )
        for letter, event in letters
    ]
    await task_queries.restore(tx, rows)


def _user_of(letter: Letter) -> UUID:
    if letter.user_id is None:
        raise ValueError(f"letter {letter.id} of a handler has no user")
    return letter.user_id


def _shard(key: str) -> int:
    """As the outbox chose it: by user, or by the bytes of a key that is none."""
    try:
        return shard_of(UUID(key))
    except ValueError:
        return crc32(key.encode()) % SHARDS
