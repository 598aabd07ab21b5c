"""What there is after a fault, looked at once: the clients' file, event_log, Kafka, mails; and what does not fit."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from faults.journal import Operation, operations
from harness import World

from usercenter.events import derived_id

MAILS = {
    "user.registered": "ask_for_welcome_mail",
    "user.password_changed": "ask_for_security_mail",
    "user.status_changed": "ask_for_status_notice",
    "user.deleted": "confirm_deletion",
}
"""Which handler asks for exactly one mail after an event of this type."""
STREAMS = ("user_events", "user_notifications", "user_analytics")


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """What a fault may leave behind."""

    mails_twice: bool = False
    """A process was killed between SMTP's 250 and the end of the task."""
    unwritten: bool = False
    """The test makes changes itself, beside the clients that write theirs down."""
    foreign: bool = False
    """Other producers write to user.events as well."""
    dead_letters: int = 0
    tasks: int = 0


class Tally(msgspec.Struct, kw_only=True):
    """What came of it."""

    ok: int = 0
    fail: int = 0
    unknown: int = 0
    unknown_kept: int = 0
    """Unknown operations that turned out to have happened."""
    events: int = 0
    lost: int = 0
    twice: int = 0
    """Effects that happened twice or not at all, and events that nobody caused."""
    duplicates: int = 0
    """Messages on Kafka beyond the first of each id."""
    mails: int = 0
    mails_twice: int = 0
    reasons: dict[str, int] = {}
    problems: list[str] = []


class Event(msgspec.Struct):
    """An event as Kafka or the event log has it."""

    id: str
    user_id: str
    sequence: int
    type: str
    body: dict[str, Any]


class Books:
    """Everything that was found, once."""

    def __init__(
        self, done: list[Operation], log: list[Event], messages: dict[str, list[dict[str, Any]]], mails: list[str]
    ) -> None:
        self.operations = done
        self.log = log
        self.messages = messages
        self.mails = Counter(mails)
        self.kafka = {each["id"]: _event(each) for each in reversed(messages["user_events"])}
        self.by_request: dict[str, list[Event]] = defaultdict(list)
        for event in self.kafka.values():
            self.by_request[event.body.get("request_id", "")].append(event)
        self.erased = {event.user_id for event in log if event.type == "user.deleted"}
        self.sequences = {event.id: event.sequence for event in log}

    @classmethod
    async def read(cls, world: World, file: Path) -> "Books":
        """Look at all of it."""
        rows = await world.rows("select id::text, user_id::text, sequence, type, payload from event_log order by 2, 3")
        messages = {stream: await asyncio.to_thread(_bodies, world, stream) for stream in STREAMS}
        mails = [mail.message_id for mail in world.mails()]
        return cls(operations(file), [Event(*row) for row in rows], messages, mails)

    def tally(self) -> Tally:
        """The numbers."""
        states = Counter(each.state for each in self.operations)
        unknown = [each for each in self.operations if each.state == "unknown"]
        ids = {stream: Counter(each["id"] for each in bodies) for stream, bodies in self.messages.items()}
        return Tally(
            ok=states["ok"],
            fail=states["fail"],
            unknown=states["unknown"],
            unknown_kept=sum(1 for each in unknown if self.by_request[each.id]),
            events=len(self.log),
            duplicates=sum(number - 1 for counts in ids.values() for number in counts.values()),
            mails=self.mails.total(),
            mails_twice=self.mails.total() - len(self.mails),
            reasons=dict(Counter(reason for each in self.operations for reason in each.reasons)),
        )

    def without_event(self) -> Iterator[str]:
        """Operations that their clients know to have happened, and whose event is absent or says something else."""
        for each in self.operations:
            events = self.by_request.get(each.id, [])
            if each.state == "ok" and len(events) != 1:
                yield f"{each.kind} {each.id} was acknowledged and has {len(events)} events"
            elif each.state == "ok":
                yield from _differences(each, events[0])

    def not_on_kafka(self) -> Iterator[str]:
        """Events that were committed and not published, or published otherwise."""
        for event in self.log:
            published = self.kafka.get(event.id)
            if published is None:
                yield f"{event.type} {event.id} is committed and not on Kafka"
            elif not event.body.get("erased") and event.body != published.body:
                yield f"{event.type} {event.id} says something else on Kafka"

    def invented(self, allowed: Allowed) -> Iterator[str]:
        """Events that nobody caused, or that were refused, or that happened more than once."""
        known = {each.id: each for each in self.operations}
        for id, events in self.by_request.items():
            operation = known.get(id)
            if operation is None and not (allowed.unwritten or allowed.foreign):
                yield f"events of the request {id!r}, which no client sent: {[event.type for event in events]}"
            elif operation and operation.state == "fail":
                yield f"{operation.kind} {id} was refused and has an event"
            elif operation and len(events) > 1:
                yield f"{operation.kind} {id} has {len(events)} events"
        if not allowed.foreign:
            yield from (f"{id} is on Kafka and was never committed" for id in self.kafka if id not in self.sequences)

    def out_of_order(self) -> Iterator[str]:
        """Users whose sequence has gaps, whose order on Kafka is another, or other than that of their operations."""
        by_user: dict[str, list[int]] = defaultdict(list)
        for event in self.log:
            by_user[event.user_id].append(event.sequence)
        for user, sequences in by_user.items():
            if sequences != list(range(sequences[0], sequences[0] + len(sequences))):
                yield f"user {user}: sequences {sequences} in event_log have gaps"
        first: dict[str, dict[int, None]] = defaultdict(dict)
        for body in self.messages["user_events"]:
            first[body["user_id"]].setdefault(self.sequences.get(body["id"], 0))
        yield from (f"user {user}: {list(s)} on Kafka" for user, s in first.items() if list(s) != sorted(s))
        told: dict[str, list[int]] = defaultdict(list)
        for each in self.operations:
            if each.state == "ok" and self.by_request.get(each.id):
                told[each.username].append(self.by_request[each.id][0].sequence)
        yield from (f"{name}: operations in the order {s}" for name, s in told.items() if s != sorted(s))

    def wrong_mails(self, allowed: Allowed) -> Iterator[str]:
        """Mails that are missing, or came twice where they may not."""
        sent = {id.strip("<>").partition("@")[0]: number for id, number in self.mails.items()}
        for event in self.log:
            if event.type in MAILS:
                number = sent.get(str(derived_id(UUID(event.id), MAILS[event.type])), 0)
                is_purged = event.user_id in self.erased and event.type != "user.deleted"
                if number == 0 and not is_purged:
                    yield f"{event.type} {event.id}: no mail"
                elif number > 1 and not allowed.mails_twice:
                    yield f"{event.type} {event.id}: {number} mails"


def _bodies(world: World, stream: str) -> list[dict[str, Any]]:
    """What can be read; the rest was never an event, and is a dead letter."""
    return [body for message in world.messages(stream) if isinstance(body := _json(message.value), dict)]


def _json(value: bytes | None) -> Any:
    try:
        return json.loads(value or b"")
    except ValueError:
        return None


def _event(body: dict[str, Any]) -> Event:
    return Event(body["id"], body["user_id"], body.get("sequence") or 0, body["type"], body)


def _differences(operation: Operation, event: Event) -> Iterator[str]:
    wanted = {
        **operation.expected,
        "type": operation.kind,
        "user_id": operation.user_id,
        "sequence": operation.sequence,
    }
    said = event.body
    yield from (
        f"{operation.kind} {operation.id}: {name} is {said.get(name)!r}, not {value!r}"
        for name, value in wanted.items()
        if value is not None and said.get(name) != value
    )
