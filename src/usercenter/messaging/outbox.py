"""The outbox: what is committed and not yet in Kafka.

A row is written in the transaction of the change and deleted once Kafka has acknowledged it. The columns bear the names
that Debezium's outbox event router reads, so CDC can take the relay's place without a change of schema.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

import msgspec
from psycopg.rows import TupleRow

from usercenter.columns import parts
from usercenter.db import Database, Parameters, Transaction
from usercenter.events import Event, encode, encode_headers
from usercenter.messaging.causes import carried_from
from usercenter.messaging.shards import shard_of

SIGNAL: Final = "outbox"
"""Set after a commit that wrote here; the relay of the same process waits for it."""


Ask = Callable[[LiteralString, Parameters], Awaitable[list[Any]]]
"""Puts a query: `Transaction.fetch_all`, or `Database.run_alone` where nothing else is to be in the transaction."""


class Row(NamedTuple):
    """One message on its way to Kafka, as the relay reads it."""

    position: int
    shard: int
    stream: str
    key: str
    type: str
    payload: bytes
    headers: dict[str, str]


class RawMessage(NamedTuple):
    """A message that is not one of our events: a dead letter with its original bytes."""

    id: UUID
    stream: str
    key: str
    shard: int
    type: str
    payload: bytes
    headers: dict[str, str]


async def add(tx: Transaction, *events: Event, traceparent: str | None = None) -> None:
    """Tell the world, in this transaction: the events are published if it commits, and never if it does not.

    Events with a sequence are also kept in the event_log for good. Per user, the order of the calls is the order in
    Kafka, provided that the caller holds the lock of the user's row. Does not commit.

    `traceparent` says to which trace they belong; what a handler sends belongs to that of its `causation_id`.
    """
    if not events:
        return
    for part in parts([_row(event, traceparent) for event in events]):
        await tx.send(_ADD, _columns(part))
    tx.wake_after_commit(SIGNAL)


async def add_with(
    tx: Transaction,
    change: LiteralString,
    parameters: Mapping[str, Any],
    event: Event,
    *,
    traceparent: str | None = None,
) -> TupleRow | None:
    """Make a change and tell the world of it, in one statement; without the change there is no event.

    `change` is the inside of a `with`: an expression of the name `changed`, which locks the user's row and returns a
    row if and only if the change was made; and perhaps others that hang on it. Its `parameters` go by name. Returns
    the row of `changed`, or None. Otherwise it promises what `add` does. Does not commit.
    """
    told = zip(_EVENT, _row(event, traceparent), strict=True)
    row = await tx.fetch_one(_with(change), {**parameters, **{f"event_{name}": value for name, value in told}})
    if row is not None:
        tx.wake_after_commit(SIGNAL)
    return row


async def add_raw(tx: Transaction, messages: Sequence[RawMessage]) -> None:
    """Publish bytes as they are, to the dead-letter stream of a topic. Does not commit."""
    if not messages:
        return
    rows = [
        (m.id, m.stream, m.key, m.type, m.payload, msgspec.json.encode(m.headers).decode(), m.shard) for m in messages
    ]
    for part in parts(rows):
        await tx.send(_ADD_RAW, _columns(part))
    tx.wake_after_commit(SIGNAL)


async def waiting(
    ask: Ask, *, shards: Sequence[int], beside: Sequence[int], held_keys: Sequence[str], limit: int
) -> list[Row]:
    """The oldest rows of these shards, without those already in hand (`beside`) and the keys on hold."""
    rows = await ask(_WAITING, (list(shards), list(beside), list(held_keys), limit))
    return [
        Row(position, shard, stream, key, type_, payload, _headers(headers))
        for position, shard, stream, key, type_, payload, headers in rows
    ]


async def remove_alone(database: Database, positions: Sequence[int]) -> None:
    """Forget rows that Kafka has acknowledged, in a transaction of their own."""
    await database.run_alone(_REMOVE, (list(positions),))


async def remove(tx: Transaction, positions: Sequence[int]) -> int:
    """Forget rows that Kafka has acknowledged; returns how many were still there, for another relay may be first."""
    return (await tx.execute(_REMOVE, (list(positions),))).rowcount


async def depth(tx: Transaction) -> tuple[int, datetime | None]:
    """How many messages wait, and when the oldest of them was written."""
    row = await tx.fetch_one("select count(*), min(created_at) from outbox")
    return (row[0], row[1]) if row else (0, None)


_headers: Final = msgspec.json.Decoder(dict[str, str]).decode  # twenty times as fast as the driver's own for JSON


def _row(event: Event, traceparent: str | None) -> tuple[Any, ...]:
    headers = encode_headers(event, traceparent=traceparent or carried_from(event.causation_id))
    return (
        event.id,
        event.user_id,
        event.sequence,
        event.type,
        event.stream,
        encode(event),
        headers.decode(),
        shard_of(event.user_id),
    )


@cache
def _with(change: LiteralString) -> LiteralString:
    return f"with {change}, {_ADD_ONE} select * from changed"  # noqa: S608  # both are our own literals


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


_ADD: Final = """
with e as materialized (
    select * from unnest(
        %b::uuid[], %b::uuid[], %b::bigint[], %b::text[], %b::text[], %b::bytea[], %b::text[], %b::smallint[]
    ) with ordinality as e (id, user_id, sequence, type, stream, payload, headers, shard, n)
), logged as (
    insert into event_log (user_id, sequence, id, type, payload)
    select user_id, sequence, id, type, convert_from(payload, 'UTF8')::json from e where sequence is not null
)
insert into outbox (id, aggregatetype, aggregateid, type, payload, headers, shard)
select id, stream, user_id::text, type, payload, headers::json, shard from e order by n
"""

_EVENT: Final = ("id", "user_id", "sequence", "type", "stream", "payload", "headers", "shard")

_ADD_ONE: Final = """
logged as (
    insert into event_log (user_id, sequence, id, type, payload)
    select %(event_user_id)s, %(event_sequence)s::bigint, %(event_id)s, %(event_type)s,
        convert_from(%(event_payload)b, 'UTF8')::json from changed
), sent as (
    insert into outbox (id, aggregatetype, aggregateid, type, payload, headers, shard)
    select %(event_id)s, %(event_stream)s, %(event_user_id)s::uuid::text, %(event_type)s, %(event_payload)b,
        %(event_headers)s::json, %(event_shard)s::smallint from changed
)
"""

_ADD_RAW: Final = """
insert into outbox (id, aggregatetype, aggregateid, type, payload, headers, shard)
select id, stream, key, type, payload, headers::json, shard from unnest(
    %b::uuid[], %b::text[], %b::text[], %b::text[], %b::bytea[], %b::text[], %b::smallint[]
) with ordinality as e (id, stream, key, type, payload, headers, shard, n) order by n
"""

_REMOVE: Final = "delete from outbox where position = any(%b::bigint[])"

_WAITING: Final = """
select position, shard, aggregatetype, aggregateid, type, payload, headers::text from outbox
where shard = any(%b::smallint[]) and position <> all(%b::bigint[]) and aggregateid <> all(%b::text[])
order by position limit %s
"""
