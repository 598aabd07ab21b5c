"""Dead letters: what nobody could handle, kept with its reason and published on the topic's `.dlq`.

The row here is the truth; the message on the dead-letter topic tells others. Both are written in the transaction that
gives the work up, so a dead letter is durable before anything is forgotten.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID
from zlib import crc32

import msgspec
import structlog

from usercenter.db import Transaction
from usercenter.events import new_id
from usercenter.messaging import outbox
from usercenter.messaging.advice import TOO_LARGE
from usercenter.messaging.fingerprints import fingerprint_of_text
from usercenter.messaging.outbox import RawMessage, Row
from usercenter.messaging.reasons import printable, storable
from usercenter.messaging.shards import SHARDS, shard_of
from usercenter.tracing import trace_of, traceparent_in

log = structlog.get_logger()

DEAD_LETTERS: Final = ".dlq"
"""Behind the name of a stream, and of its topic: where its dead letters are published."""
_LONGEST_HEADER: Final = 4_000
_LONGEST_HEADERS: Final = 64_000
_LONGEST_NAME: Final = 100


class DeadLetter(NamedTuple):
    """One message that one handler gave up, and where it came from."""

    group: str
    handler: str
    stream: str | None
    """Where it came from; None when this service no longer knows the topic: then it is kept and not published."""
    topic: str
    partition: int | None
    offset: int | None
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]
    event_id: UUID | None
    event_type: str | None
    user_id: UUID | None
    task_position: int | None
    attempts: int
    error: str
    fingerprint: str
    """The same for all letters with this cause: `messaging/fingerprints.py`."""


async def add(tx: Transaction, letters: Sequence[DeadLetter]) -> None:
    """Keep the letters and publish them on their topics' `.dlq`. Does not commit; `announce` them when it did."""
    for letter in letters:
        await _keep(tx, letter)
    published = [_message(letter, letter.stream) for letter in letters if letter.stream]
    if published:
        await outbox.add_raw(tx, published)


def announce(letters: Sequence[DeadLetter]) -> None:
    """Tell the log of letters that are committed."""
    for letter in letters:
        log.error(
            "kafka.dead_letter",
            group=letter.group,
            handler=letter.handler,
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            event_id=str(letter.event_id) if letter.event_id else None,
            event_type=letter.event_type,
            attempts=letter.attempts,
            **trace_of(traceparent_in(letter.headers)),
            next="the reason is in the table dead_letters",
        )


async def add_unsendable(tx: Transaction, row: Row, *, topic: str, error: str) -> None:
    """Keep a row that Kafka will never take (too large, say); only the table can hold it. No commit.

    A dead letter is there already.
    """
    if row.stream.endswith(DEAD_LETTERS):
        log.error(
            "kafka.dead_letter_unsendable", topic=topic, event_type=row.type, next="the table dead_letters has it"
        )
        return
    letter = DeadLetter(
        group="relay",
        handler="relay",
        stream=row.stream,
        topic=topic,
        partition=None,
        offset=None,
        key=row.key.encode(),
        value=row.payload,
        headers=row.headers,
        event_id=_uuid(row.headers.get("ce_id", "")),
        event_type=row.type,
        user_id=None,
        task_position=None,
        attempts=1,
        error=printable(error),
        fingerprint=fingerprint_of_text("unsendable", error),
    )
    await _keep(tx, letter)
    facts = {"topic": topic, "event_type": row.type, "bytes": len(row.payload), "error": error}
    log.error("kafka.message_unsendable", **facts, **TOO_LARGE.facts())


def _uuid(text: str) -> UUID | None:
    """The id in a header, which may be a stranger's and say anything."""
    try:
        return UUID(text)
    except ValueError:
        return None


async def _keep(tx: Transaction, letter: DeadLetter) -> None:
    values: dict[str, Any] = letter._asdict() | {"headers": msgspec.json.encode(letter.headers).decode()}
    await tx.send(_KEEP, values)


def _message(letter: DeadLetter, stream: str) -> RawMessage:
    key = storable((letter.key or b"").decode("utf-8", "backslashreplace"))
    return RawMessage(
        id=new_id(),
        stream=f"{stream}{DEAD_LETTERS}",
        key=key,
        shard=shard_of(letter.user_id) if letter.user_id else crc32(letter.key or b"") % SHARDS,
        type=letter.event_type or "undecodable",
        payload=letter.value or b"",
        headers={**_bounded(letter.headers), **_reason(letter), "original_key": key[:_LONGEST_HEADER]},
    )


def _bounded(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that fit into a message; what was cut or left out is named in one more. The table has them whole."""
    kept: dict[str, str] = {}
    cut: list[str] = []
    left = _LONGEST_HEADERS
    for name, value in headers.items():
        room = min(_LONGEST_HEADER, left - len(name))
        if room <= 0 or len(value) > room:
            cut.append(name[:_LONGEST_NAME])
        if room > 0:
            kept[name] = value[:room]
            left -= len(name) + len(kept[name])
    return kept | ({"headers_cut": ", ".join(cut)[:_LONGEST_HEADER]} if cut else {})


def _reason(letter: DeadLetter) -> dict[str, str]:
    return {
        "original_topic": letter.topic,
        "original_partition": str(letter.partition),
        "original_offset": str(letter.offset),
        "group": letter.group,
        "handler": letter.handler,
        "attempts": str(letter.attempts),
        "error": letter.error,
    }


_KEEP: Final = """
insert into dead_letters (group_name, handler, topic, kafka_partition, kafka_offset, key, value, headers, event_id,
    event_type, user_id, task_position, attempts, error, fingerprint)
values (%(group)s, %(handler)s, %(topic)s, %(partition)s, %(offset)s, %(key)s, %(value)s, %(headers)s, %(event_id)s,
    %(event_type)s, %(user_id)s, %(task_position)s, %(attempts)s, %(error)s, %(fingerprint)s)
"""
